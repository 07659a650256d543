/** Decides what of the machine's files is visible behind the wall, as arguments for bubblewrap (bwrap(1)). */
import { basename, dirname, join } from "node:path";
import type { PrivatePath } from "./private-paths.ts";

export interface VisibleFiles {
  /** The folders that the agent may change: its workspace, its home and what else is its own. */
  readonly own: readonly string[];
  /** Further files and folders that it may read; those that do not exist are left out. */
  readonly readable: readonly string[];
  /** The folders in which programs are looked up (`PATH`). */
  readonly programs: readonly string[];
  /** What of the machine's files stays hidden although it is in a folder that is shown; nothing, if omitted. */
  readonly hidden?: readonly PrivatePath[];
  /** How much folders in memory may take together, in bytes; if omitted, each half of the machine's memory. */
  readonly temporaryBytes?: number | undefined;
}

/** What the arguments depend on besides the visible files. */
export interface Machine {
  /** The target of a symbolic link as it is written, `undefined` for what is none or does not exist. */
  linkTarget(path: string): string | undefined;
  /** The path without symbolic links; `undefined` if it does not exist. */
  realPath(path: string): string | undefined;
}

/** Folders of programs and libraries, and what belongs to them. None holds anything of a user. */
const SYSTEM = ["/usr", "/opt", "/nix/store"];
/** Folders at the top that are links into `/usr` on most systems, and real folders on others. */
const TOP = ["/bin", "/sbin", "/lib", "/lib32", "/lib64"];
/**
 * What programs need of `/etc`: name resolution, certificates, libraries, time zone, alternatives. All else there, users and
 * passwords first of all, stays hidden.
 */
const CONFIGURATION = [
  "alternatives",
  "ca-certificates",
  "ca-certificates.conf",
  "crypto-policies",
  "host.conf",
  "hosts",
  "ld.so.cache",
  "ld.so.conf",
  "ld.so.conf.d",
  "localtime",
  "mime.types",
  "nsswitch.conf",
  "pki",
  "protocols",
  "services",
  "ssl",
  "timezone",
];
/** The folders that are shown whole and hold, beside programs, what somebody put there by hand. */
export const MIXED_FOLDERS = ["/opt", "/usr/local/etc", ...CONFIGURATION.map((name) => join("/etc", name))];
/** A real file, which on many systems is a link to one below `/run`. */
const RESOLVER = "/etc/resolv.conf";
/**
 * What of `/proc` is the whole machine's. Where the runner is root, its files have the machine's root as their owner, who may change
 * the kernel's settings without any capability.
 */
const KERNEL_SETTINGS = ["sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "driver", "scsi", "mtrr"];
const KERNEL_SECRETS = ["kcore", "kmsg", "keys", "key-users", "timer_list", "latency_stats", "sched_debug"];
/** Folders in memory, which counts as the sandbox's, and how much of the memory for such folders each may take. */
const IN_MEMORY = [
  { path: "/tmp", share: 0.5 },
  { path: "/run", share: 0.25 },
  { path: "/dev/shm", share: 0.25 },
];
/** What programs beside a `bin` folder need of its neighbours. */
const BESIDE_PROGRAMS = ["lib", "lib64", "libexec"];

/** Returns bubblewrap's arguments for a root that shows only these files, each at its own path. */
export function mountArguments(
  { own, readable, programs, hidden = [], temporaryBytes }: VisibleFiles,
  machine: Machine,
): string[] {
  const shown = (path: string, at = path) => ["--ro-bind-try", path, at];
  const top = TOP.flatMap((path) => {
    const target = machine.linkTarget(path);
    return target === undefined ? shown(path) : ["--symlink", target, path];
  });
  const configuration = CONFIGURATION.flatMap((name) => shown(join("/etc", name)));
  const inProc = (names: readonly string[]) =>
    names.map((name) => join("/proc", name)).filter((path) => machine.realPath(path) !== undefined);
  const resolver = machine.realPath(RESOLVER);
  const isHidden = (folder: string) => ![...SYSTEM, ...TOP].some((each) => isWithin(folder, each));
  const lookedUp = programs
    .filter((folder) => folder.startsWith("/") && isHidden(folder))
    .flatMap((folder) => {
      // Shims of pyenv, rbenv and the like find the real programs in the folder around them.
      if (basename(folder) === "shims") return [dirname(folder)];
      return [folder, ...BESIDE_PROGRAMS.map((name) => join(dirname(folder), name))];
    });
  const sizeOf = (share: number) =>
    temporaryBytes === undefined ? [] : ["--size", `${Math.floor(share * temporaryBytes)}`];
  return [
    ...SYSTEM.flatMap((path) => shown(path)),
    ...top,
    ...configuration,
    ...(resolver === undefined ? [] : shown(resolver, RESOLVER)),
    ...["--proc", "/proc", "--dev", "/dev"],
    // Of `/dev` itself nothing can be written but devices.
    ...IN_MEMORY.flatMap(({ path, share }) => [...sizeOf(share), "--tmpfs", path]),
    ...["--remount-ro", "/dev"],
    ...inProc(KERNEL_SETTINGS).flatMap((path) => ["--ro-bind", path, path]),
    ...inProc(KERNEL_SECRETS).flatMap((path) => ["--ro-bind", "/dev/null", path]),
    ...hidden.flatMap(({ path, isFolder }) => (isFolder ? ["--tmpfs", path] : ["--ro-bind", "/dev/null", path])),
    // After the private folders, which would hide what lies below them.
    ...[...new Set([...lookedUp, ...readable])].flatMap((path) => shown(path)),
    ...own.flatMap((path) => ["--bind", path, path]),
    // Only now, since what is shown may be below a folder that is hidden.
    ...hidden.flatMap(({ path, isFolder }) => (isFolder ? ["--remount-ro", path] : [])),
  ];
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}
