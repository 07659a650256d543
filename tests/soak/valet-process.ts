/** Finds, measures and kills `valet up` and the processes that it started, by their ids. */
import { existsSync, globSync } from "node:fs";
import { join } from "node:path";
import type { ApiClient } from "../../packages/cli/src/api-client.ts";
import type { Connection } from "../../packages/cli/src/system/state.ts";
import {
  childrenOf,
  concerns,
  killNow,
  livingProcesses,
  memoryBytes,
  OPENCODE,
  processesOfSession,
  RUNNER,
  readProcess,
  waitingRunners,
} from "../processes.ts";
import { endUp, startUp, type UpProcess } from "../valet-up.ts";

export type Part = "runner" | "opencode" | "workerd";

/** Matches the command line of each part. */
const COMMANDS: Readonly<Record<Part, RegExp>> = {
  runner: RUNNER,
  opencode: OPENCODE,
  workerd: /\/workerd\0serve/,
};

export class ValetProcess {
  readonly stateDir: string;
  readonly #up: UpProcess;

  private constructor(up: UpProcess, stateDir: string) {
    this.#up = up;
    this.stateDir = stateDir;
  }

  /** Starts `valet up`. @param args beside those that each test gives. @throws Error when it exits instead */
  static async start(
    stateDir: string,
    env: Readonly<Record<string, string>>,
    args: readonly string[] = [],
  ): Promise<ValetProcess> {
    return new ValetProcess(await startUp(stateDir, { args: [...args], env: { ...process.env, ...env } }), stateDir);
  }

  get api(): ApiClient {
    return this.#up.api;
  }

  /** Its URL and token, for requests that the client does not make. */
  get connection(): Connection {
    const { url, token } = this.#up;
    return { url, token };
  }

  /** What `up` has said, without its last sentences perhaps. */
  log(): string {
    return this.#up.log();
  }

  async stop(): Promise<void> {
    await endUp(this.#up);
  }

  /** Kills `valet up` itself; the processes that it started end by other means. */
  async crash(): Promise<void> {
    await endUp(this.#up, "SIGKILL");
  }

  /** Returns the process ids of a part of a session's sandbox; those of workerd belong to all sessions. */
  find(part: Part, sessionId?: string): number[] {
    const isPart = (pid: number) => COMMANDS[part].test(readProcess(pid, "cmdline"));
    if (part === "workerd") return childrenOf(this.#up.pid).filter(isPart);
    if (sessionId !== undefined) return processesOfSession(this.stateDir, sessionId).filter(isPart);
    return livingProcesses().filter((pid) => isPart(pid) && concerns(pid, this.stateDir));
  }

  /** Returns the runners that wait for the next sandbox. */
  waiting(): number[] {
    return waitingRunners(this.#up.pid, this.stateDir);
  }

  /** Kills a part. @returns whether it was running */
  kill(part: Part, sessionId?: string): boolean {
    const [pid] = this.find(part, sessionId);
    return pid !== undefined && killNow(pid);
  }

  /** Resident memory in MB. */
  memory(): { readonly broker: number; readonly workerd: number } {
    const of = (pid: number | undefined) => (pid === undefined ? 0 : Math.round(memoryBytes(pid) / 1024 ** 2));
    return { broker: of(this.#up.pid), workerd: of(this.find("workerd")[0]) };
  }

  /** Returns the running processes of sandboxes, and the existing folders of sandboxes and snapshots. */
  left(): string[] {
    const running = [...this.find("runner"), ...this.find("opencode")].map((pid) => `process ${pid}`);
    const broker = join(this.stateDir, "broker");
    return existsSync(broker) ? [...running, ...globSync("{sandboxes,snapshots}/*", { cwd: broker })] : running;
  }
}
