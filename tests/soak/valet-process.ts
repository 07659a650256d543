/** `valet up` as a process of its own, with what it starts: found, measured and killed by their process ids. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { ApiClient } from "../../packages/cli/src/api-client.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const BIN = join(ROOT, "packages/cli/src/bin.ts");

export type Part = "runner" | "opencode" | "workerd";

/** What the command line of each holds. */
const COMMANDS: Readonly<Record<Part, RegExp>> = {
  runner: /runner\/src\/bin\.ts/,
  opencode: /opencode(\.exe)?\0serve/,
  workerd: /\/workerd\0serve/,
};

export class ValetProcess {
  readonly api: ApiClient;
  readonly stateDir: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, stateDir: string, api: ApiClient) {
    this.#child = child;
    this.stateDir = stateDir;
    this.api = api;
  }

  /** @throws Error when it ends instead of starting */
  static async start(stateDir: string, env: Readonly<Record<string, string>>): Promise<ValetProcess> {
    const child = spawn(process.execPath, [BIN, "--state", stateDir, "up", "--json"], {
      cwd: ROOT,
      env: { ...process.env, ...env },
      // What workerd says when it is killed is no news.
      stdio: ["ignore", "pipe", "ignore"],
    });
    const ended = once(child, "exit").then(([code]) => {
      throw new Error(`valet up ended with ${code}`);
    });
    ended.catch(() => {});
    const [line] = (await Promise.race([once(child.stdout, "data"), ended])) as [Buffer];
    return new ValetProcess(child, stateDir, new ApiClient(JSON.parse(String(line))));
  }

  stop(): Promise<void> {
    return this.#end("SIGTERM");
  }

  /** Kills `valet up` itself; what it started ends by other means. */
  crash(): Promise<void> {
    return this.#end("SIGKILL");
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.kill(signal);
    await ended;
  }

  /** The process ids of a part; of a session's sandbox, but for workerd, which is everybody's. */
  find(part: Part, sessionId?: string): number[] {
    return processes().filter((pid) => {
      if (!COMMANDS[part].test(read(pid, "cmdline"))) return false;
      if (part === "workerd") return parentOf(pid) === this.#child.pid;
      const environment = read(pid, "environ").split("\0");
      const isOurs = environment.some((each) => each.includes(this.stateDir));
      return isOurs && (sessionId === undefined || environment.includes(`VALET_SESSION_ID=${sessionId}`));
    });
  }

  /** @returns whether there was one */
  kill(part: Part, sessionId?: string): boolean {
    const [pid] = this.find(part, sessionId);
    if (pid === undefined) return false;
    process.kill(pid, "SIGKILL");
    return true;
  }

  /** Resident memory in MB. */
  memory(): { readonly broker: number; readonly workerd: number } {
    const of = (pid: number | undefined) => {
      const kilobytes = /^VmRSS:\s+(\d+)/m.exec(pid === undefined ? "" : read(pid, "status"))?.[1];
      return Math.round(Number(kilobytes ?? 0) / 1024);
    };
    return { broker: of(this.#child.pid), workerd: of(this.find("workerd")[0]) };
  }

  /** Processes of sandboxes that run, and folders of sandboxes and snapshots that are there. */
  left(): string[] {
    const running = [...this.find("runner"), ...this.find("opencode")].map((pid) => `process ${pid}`);
    const broker = join(this.stateDir, "broker");
    return existsSync(broker) ? [...running, ...globSync("{sandboxes,snapshots}/*", { cwd: broker })] : running;
  }
}

function processes(): number[] {
  return readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []));
}

function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)/m.exec(read(pid, "status"))?.[1]);
}

/** Nothing where the process has ended, or is another user's. */
function read(pid: number, file: "cmdline" | "environ" | "status"): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "latin1");
  } catch {
    return "";
  }
}
