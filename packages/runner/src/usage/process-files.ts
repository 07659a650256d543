/** Reads what single processes have used, from /proc (proc(5)). Pure. */

/** Clock ticks per second in /proc: the same on every architecture that Node and Bun run on. */
const TICKS_PER_SECOND = 100;

/** Returns the processor time of a process and of those of its children that it has waited for, in ms. @param stat `/proc/<pid>/stat` */
export function cpuMsOf(stat: string): number | undefined {
  // The second field is the command in parentheses, which may itself contain parentheses and spaces.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // Fields 14 to 17 of the file: utime, stime, cutime, cstime.
  const ticks = fields.slice(11, 15).map(Number);
  if (ticks.length < 4 || ticks.some(Number.isNaN)) return undefined;
  return (ticks.reduce((sum, each) => sum + each, 0) * 1000) / TICKS_PER_SECOND;
}

/** Returns what a process and those of its children that it has waited for wrote to disks, in bytes. @param io `/proc/<pid>/io` */
export function writtenOf(io: string): number | undefined {
  const [, bytes] = /^write_bytes: (\d+)$/m.exec(io) ?? [];
  return bytes === undefined ? undefined : Number(bytes);
}

/** Returns the memory of a process without the files that it has mapped, in bytes. @param status `/proc/<pid>/status` */
export function memoryOf(status: string): number | undefined {
  const kib = (name: string) => {
    const [, amount] = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status) ?? [];
    return amount === undefined ? undefined : Number(amount);
  };
  const [own, shared] = [kib("RssAnon"), kib("RssShmem")];
  return own === undefined ? undefined : (own + (shared ?? 0)) * 1024;
}
