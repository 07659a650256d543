import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { EntrypointInput } from "@valet/shared/protocol/sandbox-broker";
import type { LogFile } from "./log-file.ts";
import { identify, type ProcessIdentity } from "./process-table.ts";

export interface EntrypointOptions {
  readonly command: readonly [string, ...string[]];
  /** The whole environment: nothing of the broker's own is added. */
  readonly env: Record<string, string>;
  readonly input: EntrypointInput;
  readonly log: LogFile;
}

export interface RunningEntrypoint {
  readonly identity: ProcessIdentity;
  /** Resolves when it has ended, with its exit code; with `null` when a signal ended it. */
  readonly exited: Promise<number | null>;
  /** Resolves when all that it wrote is in the log: once nobody has its output open any more. */
  readonly logged: Promise<unknown>;
}

const USUAL_UMASK = 0o022;

/**
 * Where the entrypoint starts: in no folder that the agent works in, because runtimes read configuration from theirs (Bun its
 * `bunfig.toml`, `tsconfig.json` and `.env`), and that would be the repository's.
 */
const WORKING_FOLDER = "/";

/** Names the descriptor that is closed when the broker dies: whoever holds its other end can end itself then. */
const LIFELINE_VARIABLE = "VALET_LIFELINE_FD";
const LIFELINE_FD = 3;

/**
 * Starts the entrypoint as the leader of a session and process group of its own.
 * @param onStarted called as soon as it has an identity, before anything else can happen
 * @throws when it cannot be started
 */
export async function startEntrypoint(
  { command: [file, ...args], env, input, log }: EntrypointOptions,
  onStarted: (identity: ProcessIdentity) => void,
): Promise<RunningEntrypoint> {
  // Ours is for our own files. The agent's have the usual modes, in a directory that nobody else may enter.
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
  onStarted(identity);
  const exited = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
  const logged = Promise.all([child.stdout, child.stderr].map((stream) => log.drain(stream)));
  // Nothing is sent over it either way; it breaks when the entrypoint ends.
  child.stdio[LIFELINE_FD]?.on("error", () => {});
  // One that ends or closes its input without reading it is seen by its end, not here.
  child.stdin.on("error", () => {});
  child.stdin.end(`${JSON.stringify(input)}\n`);
  return { identity, exited, logged };
}

async function spawnError(child: ChildProcess): Promise<Error> {
  const [error] = (await once(child, "error")) as [NodeJS.ErrnoException];
  return new Error(`the entrypoint cannot be started: ${error.code}`);
}
