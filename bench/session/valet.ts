/** `valet up` as it is measured. */
import type { ApiClient } from "../../packages/cli/src/api-client.ts";
import type { Connection } from "../../packages/cli/src/system/state.ts";
import { childrenOf, commandOf } from "../../tests/processes.ts";
import { endUp, startUp, type UpProcess } from "../../tests/valet-up.ts";

export interface Processes {
  /** `valet up` itself: the broker is in it, beside the CLI and Miniflare. */
  readonly up: number;
  readonly workerd: number;
  /** Of the sandboxes that run. */
  readonly runners: readonly number[];
  /** What else `valet up` started. */
  readonly others: readonly number[];
}

export class Valet {
  /** From the start of the process to its line that says that it is ready. */
  readonly readyMs: number;
  readonly #up: UpProcess;

  private constructor(up: UpProcess, readyMs: number) {
    this.#up = up;
    this.readyMs = readyMs;
  }

  /**
   * Starts a system.
   * @param variables what the process finds in its environment, beside where programs and the home are
   */
  static async start(stateDir: string, variables: Readonly<Record<string, string>>): Promise<Valet> {
    const { PATH = "", HOME = "" } = process.env;
    const startMs = performance.now();
    const up = await startUp(stateDir, { env: { PATH, HOME, ...variables } });
    return new Valet(up, performance.now() - startMs);
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
    const pick = (part: string) => children.filter(({ command }) => command.includes(part)).map(({ pid }) => pid);
    const runners = pick("/runner/src/bin.ts");
    const [workerd] = pick("workerd serve");
    if (workerd === undefined) throw new Error("`valet up` has no workerd");
    const known = new Set([workerd, ...runners]);
    return { up, workerd, runners, others: children.map(({ pid }) => pid).filter((pid) => !known.has(pid)) };
  }

  /** Ends it, and with it all that it started. */
  async stop(): Promise<void> {
    await endUp(this.#up);
  }
}
