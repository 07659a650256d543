/**
 * Runs workerd through a wrapper (workerd.sh) that ends it with this process, allows only one on a state and gives it a
 * clean environment; finds and kills a workerd that was orphaned all the same.
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
/** Names the state that a workerd serves, in its environment. */
const STATE_VARIABLE = "VALET_WORKERD_STATE";
/** How long killed processes may take to exit. */
const KILL_TIMEOUT_MS = 10_000;

/**
 * Returns the path of the binary that Miniflare would run: that of its own dependency, or the one that the user named.
 */
function workerdBinary(): string {
  const { MINIFLARE_WORKERD_PATH: named } = process.env;
  if (named !== undefined && named !== WRAPPER) return named;
  const { default: path } = createRequire(import.meta.resolve("miniflare"))("workerd") as { readonly default: string };
  return path;
}

/**
 * Makes Miniflare start workerd through the wrapper from now on.
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
 * Kills every workerd that serves this state, whoever started it: a killed predecessor, or its Miniflare after a crash.
 * The caller must hold the state's lock. Resolves when none is left.
 * @throws UserError when one does not exit
 */
export async function endLeftWorkerd(state: StateDirectory): Promise<void> {
  for (const end = Date.now() + KILL_TIMEOUT_MS; ; await sleep(10)) {
    const left = findWorkerd(state);
    if (left.length === 0) return;
    if (Date.now() > end) {
      throw new UserError(
        `An orphaned Worker still serves ${state.path} (pid ${left[0]?.pid}). Kill it, then start again.`,
      );
    }
    for (const { pid } of left.filter(isAlive)) kill(pid);
  }
}

/** Kills the workerd that serves this state, without waiting for its exit. */
export function killWorkerd(state: StateDirectory): void {
  for (const { pid } of findWorkerd(state).filter(isAlive)) kill(pid);
}

/** Returns whether a workerd that serves this state runs, or its wrapper, which starts it. */
export function isWorkerdRunning(state: StateDirectory): boolean {
  return findWorkerd(state).some(isAlive);
}

/**
 * Finds the processes by their environment; older versions set no variable, so also by the files that they hold open.
 */
function findWorkerd(state: StateDirectory): ProcessIdentity[] {
  const marked = findProcessesWith(STATE_VARIABLE, stateKey(state));
  const known = new Set(marked.map(({ pid }) => pid));
  const unmarked = listProcesses().filter(
    ({ pid }) => !known.has(pid) && isWorkerd(pid) && hasOpen(pid, `${state.storage}/`),
  );
  return [...marked, ...unmarked];
}

/** Returns the real path of the directory, so that links to it give the same key. */
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

/**
 * Returns whether a process has a file open whose path has this prefix. `false` for other users' processes, which
 * cannot be inspected.
 */
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
    // The process has exited, or belongs to another user; in that case the next search finds it again.
    if (!["ESRCH", "EPERM"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}
