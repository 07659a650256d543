/** `valet up` as a process of its own, as somebody would start it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { ApiClient } from "../../packages/cli/src/api-client.ts";
import type { Connection } from "../../packages/cli/src/system/state.ts";
import { childrenOf, commandOf } from "./processes.ts";

const VALET = fileURLToPath(new URL("../../packages/cli/src/bin.ts", import.meta.url));

/** Longer than a stop may take; whatever still runs by then hangs. */
const STOP_TIMEOUT_MS = 30_000;

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
  readonly connection: Connection;
  readonly api: ApiClient;
  /** From the start of the process to its line that says that it is ready. */
  readonly readyMs: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, connection: Connection, readyMs: number) {
    this.#child = child;
    this.connection = connection;
    this.api = new ApiClient(connection);
    this.readyMs = readyMs;
  }

  /**
   * Starts a system.
   * @param variables what the process finds in its environment, beside where programs and the home are
   */
  static async start(stateDir: string, variables: Readonly<Record<string, string>>): Promise<Valet> {
    const { PATH = "", HOME = "" } = process.env;
    const startMs = performance.now();
    const child = spawn(process.execPath, [VALET, "up", "--json", "--state", stateDir], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { PATH, HOME, ...variables },
    });
    const kill = () => child.kill("SIGTERM");
    process.once("exit", kill);
    child.once("exit", () => process.off("exit", kill));
    const line = await firstLine(child);
    return new Valet(child, JSON.parse(line), performance.now() - startMs);
  }

  processes(): Processes {
    const up = this.#child.pid as number;
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
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, "exit", { signal: AbortSignal.timeout(STOP_TIMEOUT_MS) });
    this.#child.kill("SIGTERM");
    await exited;
  }
}

async function firstLine(child: ChildProcess): Promise<string> {
  let text = "";
  for await (const chunk of child.stdout?.setEncoding("utf8").iterator({ destroyOnReturn: false }) ?? []) {
    text += chunk;
    if (text.includes("\n")) return text;
  }
  throw new Error("`valet up` ended before it was ready");
}
