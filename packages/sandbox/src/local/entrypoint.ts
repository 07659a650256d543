import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { EntrypointInput } from "@valet/shared/protocol/sandbox-broker";
import type { LogFile } from "./log-file.ts";
import { identify, isAlive, type ProcessIdentity } from "./process-table.ts";

/** An entrypoint that waits for its input. */
export interface WaitingEntrypoint {
  readonly identity: ProcessIdentity;
  /** Resolves with the exit code; with `null` when a signal killed the entrypoint. */
  readonly exited: Promise<number | null>;
  hasExited(): boolean;
  /** Gives it its input. From now on its output, also that of before, goes to the log. */
  begin(input: EntrypointInput, log: LogFile): RunningEntrypoint;
}

export interface RunningEntrypoint {
  readonly identity: ProcessIdentity;
  /** Resolves with the exit code; with `null` when a signal killed the entrypoint. */
  readonly exited: Promise<number | null>;
  /** Resolves when all output is in the log, which is once no process has it open any more. */
  readonly logged: Promise<unknown>;
}

const USUAL_UMASK = 0o022;

/**
 * The entrypoint's working directory. It is outside the agent's folders, since runtimes read configuration from their
 * working directory (Bun its `bunfig.toml`, `tsconfig.json` and `.env`), and that would be the repository's.
 */
const WORKING_FOLDER = "/";

/** Names the descriptor that the kernel closes when the broker dies, so that the entrypoint can exit as well. */
const LIFELINE_VARIABLE = "VALET_LIFELINE_FD";
const LIFELINE_FD = 3;

/**
 * Starts the entrypoint as the leader of its own session and process group.
 * @param env the complete environment; the broker's own variables are not added
 * @throws when it cannot be started
 */
export async function startEntrypoint(
  [file, ...args]: readonly [string, ...string[]],
  env: Record<string, string>,
): Promise<WaitingEntrypoint> {
  // The broker's umask is for its own files. The agent's files have the usual modes, in a directory that only their
  // owner may enter.
  const umask = process.umask(USUAL_UMASK);
  const child = spawn(file, args, {
    cwd: WORKING_FOLDER,
    env: { ...env, [LIFELINE_VARIABLE]: String(LIFELINE_FD) },
    detached: true,
    stdio: ["pipe", "pipe", "pipe", "pipe"],
  });
  process.umask(umask);
  if (child.pid === undefined) throw await spawnError(child);
  const identity = identify(child.pid);
  const exited = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
  // No data is sent over this descriptor; it breaks when the entrypoint exits.
  child.stdio[LIFELINE_FD]?.on("error", () => {});
  // An entrypoint that exits, or closes its input without reading it, is noticed by its exit.
  child.stdin.on("error", () => {});
  return {
    identity,
    exited,
    // Node may not have been told of its end yet.
    hasExited: () => !isAlive(identity),
    begin(input, log) {
      const logged = Promise.all([child.stdout, child.stderr].map((stream) => log.drain(stream)));
      child.stdin.end(`${JSON.stringify(input)}\n`);
      return { identity, exited, logged };
    },
  };
}

async function spawnError(child: ChildProcess): Promise<Error> {
  const [error] = (await once(child, "error")) as [NodeJS.ErrnoException];
  return new Error(`the entrypoint cannot be started: ${error.code}`);
}
