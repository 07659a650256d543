/**
 * workerd as a process: started through a wrapper (workerd.sh) that ties its life to this process, keeps it the only one on its
 * state and gives it a clean environment; and found again where a predecessor left one behind all the same.
 */
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { findProcessesWith, isAlive, listProcesses, type ProcessIdentity } from "@valet/sandbox";
import { UserError } from "../errors.ts";
import type { StateDirectory } from "./state-directory.ts";

const WRAPPER = fileURLToPath(new URL("./workerd.sh", import.meta.url));
/** In the environment of every workerd that serves the state: which state that is. */
const STATE_VARIABLE = "VALET_WORKERD_STATE";
/** How long killed processes may take to disappear. */
const KILL_TIMEOUT_MS = 10_000;

/** The binary that Miniflare would run: the one of its own dependency, or the one that the user named. */
function workerdBinary(): string {
  const { MINIFLARE_WORKERD_PATH: named } = process.env;
  if (named !== undefined && named !== WRAPPER) return named;
  const { default: path } = createRequire(import.meta.resolve("miniflare"))("workerd") as { readonly default: string };
  return path;
}

/**
 * Has Miniflare start workerd through the wrapper from now on.
 * @returns the variables that the wrapper needs; Miniflare adds them to its environment
 */
export function wrapWorkerd(state: StateDirectory): Record<string, string> {
  const variables = {
    VALET_WORKERD: workerdBinary(),
    VALET_WORKERD_PARENT: String(process.pid),
    VALET_WORKERD_LOCK: join(state.path, "worker.lock"),
    [STATE_VARIABLE]: stateKey(state),
  };
  process.env.MINIFLARE_WORKERD_PATH = WRAPPER;
  return variables;
}

/**
 * Ends every workerd that serves this state, whoever started it: a predecessor that was killed, or its Miniflare after a crash.
 * To be called by whoever holds the state's lock. Resolves once none is left.
 * @throws UserError when one does not end
 */
export async function endLeftWorkerd(state: StateDirectory): Promise<void> {
  for (const end = Date.now() + KILL_TIMEOUT_MS; ; await sleep(10)) {
    const left = findWorkerd(state);
    if (left.length === 0) return;
    if (Date.now() > end) {
      throw new UserError(
        `A Worker of an earlier start still serves ${state.path} (pid ${left[0]?.pid}). End it first.`,
      );
    }
    for (const { pid } of left.filter(isAlive)) kill(pid);
  }
}

/** By its environment; or, as versions before the wrapper set no variable, by the files that it holds open. */
function findWorkerd(state: StateDirectory): ProcessIdentity[] {
  const marked = findProcessesWith(STATE_VARIABLE, stateKey(state));
  const known = new Set(marked.map(({ pid }) => pid));
  const unmarked = listProcesses().filter(
    ({ pid }) => !known.has(pid) && isWorkerd(pid) && hasOpen(pid, `${state.storage}/`),
  );
  return [...marked, ...unmarked];
}

/** The directory itself, whatever path leads to it. */
function stateKey({ path }: StateDirectory): string {
  const { dev, ino } = statSync(path);
  return `${dev}/${ino}`;
}

function isWorkerd(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/comm`, "latin1").trim() === "workerd";
  } catch {
    return false;
  }
}

/** Whether a process has a file open whose path begins so. Of another user's processes nothing can be told. */
function hasOpen(pid: number, prefix: string): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => linkOf(`/proc/${pid}/fd/${fd}`).startsWith(prefix));
  } catch {
    return false;
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    // It is gone, or it is another user's: then it is still there when it is looked for again.
    if (!["ESRCH", "EPERM"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}
