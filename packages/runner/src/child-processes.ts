/** What is done with the processes that the runner starts, whatever they are. */

/** Ends every process of the group that this one leads. */
export function killGroup(pid: number | undefined, signal: NodeJS.Signals = "SIGKILL"): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch {
    // Nobody is left in the group.
  }
}

/**
 * Gathers what is written to the streams, in the order in which it comes.
 * @returns what gives the last `max` UTF-16 code units of it
 */
export function collectEnd(streams: readonly (NodeJS.ReadableStream | null)[], max: number): () => string {
  let text = "";
  for (const stream of streams) {
    stream?.setEncoding("utf8");
    stream?.on("data", (chunk: string) => {
      text = (text + chunk).slice(-max);
    });
  }
  return () => text;
}
