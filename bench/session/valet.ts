/** A running `valet up` to measure. */
import type { ApiClient } from "../../packages/cli/src/api-client.ts";
import type { Connection } from "../../packages/cli/src/system/state.ts";
import { childrenOf, commandOf, openCodesOf, RUNNER } from "../../tests/processes.ts";
import { endUp, startUp, type UpProcess } from "../../tests/valet-up.ts";

export interface Processes {
  /** The process of `valet up`, which contains the broker, the CLI and Miniflare. */
  readonly up: number;
  readonly workerd: number;
  /** The runners of the running sandboxes. */
  readonly runners: readonly number[];
  /** Their OpenCode processes. */
  readonly agents: readonly number[];
  /** The other processes that `valet up` started. */
  readonly others: readonly number[];
}

export class Valet {
  /** From the start of the process to its ready line. */
  readonly readyMs: number;
  readonly stateDir: string;
  readonly #up: UpProcess;

  private constructor(up: UpProcess, stateDir: string, readyMs: number) {
    this.#up = up;
    this.stateDir = stateDir;
    this.readyMs = readyMs;
  }

  /**
   * Starts a system.
   * @param variables further environment variables, beside PATH and HOME
   */
  static async start(stateDir: string, variables: Readonly<Record<string, string>>): Promise<Valet> {
    const { PATH = "", HOME = "" } = process.env;
    const startMs = performance.now();
    const up = await startUp(stateDir, { env: { PATH, HOME, ...variables } });
    return new Valet(up, stateDir, performance.now() - startMs);
  }

  get connection(): Connection {
    return this.#up;
  }

  get api(): ApiClient {
    return this.#up.api;
  }

  processes(): Processes {
    const { pid: up } = this.#up;
    const children = childrenOf(up).map((pid) => ({ pid, command: commandOf(pid) }));
    const pick = (part: RegExp) => children.filter(({ command }) => part.test(command)).map(({ pid }) => pid);
    // Not the runner that waits for the next sandbox: it starts in the middle of the measurement, and works for no session.
    const runners = pick(RUNNER).filter((pid) => openCodesOf([pid]).length > 0);
    const [workerd] = pick(/workerd serve/);
    if (workerd === undefined) throw new Error("`valet up` has no workerd");
    const known = new Set([workerd, ...runners]);
    const agents = openCodesOf(runners);
    const others = children.map(({ pid }) => pid).filter((pid) => !known.has(pid));
    return { up, workerd, runners, agents, others };
  }

  /** Ends the system with everything that it started. */
  async stop(): Promise<void> {
    await endUp(this.#up);
  }
}
