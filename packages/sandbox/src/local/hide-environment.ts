import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { CERTIFICATE_VARIABLES } from "@valet/shared/certificate-variables";

/** Variables without secrets that libraries in a process, or its child processes, may need. */
const HARMLESS: readonly string[] = [
  "PATH",
  "HOME",
  "USER",
  "SHELL",
  "TERM",
  "TZ",
  "LANG",
  "LC_ALL",
  "TMPDIR",
  "FORCE_COLOR",
  "NO_COLOR",
  "LD_LIBRARY_PATH",
  "XDG_CONFIG_HOME",
  "XDG_CACHE_HOME",
  "XDG_DATA_HOME",
  "NODE_ENV",
  "NODE_OPTIONS",
  "NODE_COMPILE_CACHE",
  "NODE_NO_WARNINGS",
  // Where the certificates for a container engine are.
  "DOCKER_TLS_VERIFY",
  "DOCKER_CERT_PATH",
  ...CERTIFICATE_VARIABLES,
];

/**
 * Removes all but harmless variables from the environment of this process. Also overwrites them in
 * `/proc/<pid>/environ`, where other processes of the same user, such as agents, can read the memory that the process
 * was started with. If that file or memory cannot be written, the variables are only removed.
 * @param alsoKept names of further variables to keep
 */
export function hideEnvironment(...alsoKept: readonly string[]): void {
  const kept = new Set([...HARMLESS, ...alsoKept]);
  for (const name of Object.keys(process.env)) if (!kept.has(name)) delete process.env[name];
  try {
    blankInitialEnvironment(kept);
  } catch {
    // The system has no /proc, or forbids access.
  }
}

function blankInitialEnvironment(kept: ReadonlySet<string>): void {
  const stat = readFileSync("/proc/self/stat", "latin1");
  // proc_pid_stat(5): field 50, env_start. The second field is in parentheses and may hold spaces, so the split starts
  // at the third.
  const start = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[50 - 3]);
  if (!(start > 0)) return;
  const memory = openSync("/proc/self/mem", "r+");
  try {
    let offset = start;
    for (const entry of readFileSync("/proc/self/environ", "latin1").split("\0")) {
      const name = entry.slice(0, Math.max(0, entry.indexOf("=")));
      if (entry !== "" && !kept.has(name)) writeSync(memory, Buffer.alloc(entry.length), 0, entry.length, offset);
      offset += entry.length + 1;
    }
  } finally {
    closeSync(memory);
  }
}
