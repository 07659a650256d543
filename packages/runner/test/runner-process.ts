import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { onTestFinished } from "vitest";
import { processesOf } from "./processes.ts";

const BIN = join(import.meta.dirname, "../src/bin.ts");
export const TOKEN = "canary-of-the-runner-token";

export interface RunnerProcessOptions {
  readonly url: string;
  readonly home: string;
  readonly workspace: string;
  /** Marks the runner's process and its descendants. */
  readonly sandboxId: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Its standard input; a line with a token by default. With `null` the input stays open and empty. */
  readonly input?: string | null;
  /** Whether the runner ends with its host, which the result of {@link startRunnerProcess} can end. */
  readonly hasLifeline?: boolean;
}

/** The runner's entrypoint, as the drivers and the image start it. */
const BUN_FLAGS = ["--no-env-file", "--config=/dev/null", "--no-install"];

/** Starts the entrypoint like a broker. */
export function startRunnerProcess({ url, home, workspace, sandboxId, env, input, hasLifeline }: RunnerProcessOptions) {
  const child = spawn(process.execPath, [...BUN_FLAGS, BIN], {
    cwd: "/",
    env: {
      PATH: process.env.PATH,
      HOME: home,
      VALET_WORKSPACE: workspace,
      VALET_SESSION_ID: "ses_1",
      VALET_GENERATION: "1",
      VALET_RUNNER_URL: url,
      VALET_SANDBOX_ID: sandboxId,
      VALET_ALLOW_FILE_REPOS: "1",
      ...(hasLifeline && { VALET_LIFELINE_FD: "3" }),
      ...env,
    },
    stdio: ["pipe", "ignore", "pipe", "pipe"],
  });
  const { stdin, stderr } = child;
  if (stdin === null || stderr === null) throw new Error("no pipes");
  stdin.on("error", () => {});
  if (input !== null) stdin.end(input ?? `${JSON.stringify({ token: TOKEN, restartCount: 0 })}\n`);
  const log = text(stderr);
  const exited = once(child, "exit").then(([code, signal]) => (code ?? signal) as number | string);
  onTestFinished(() => endAll(sandboxId));
  const write = (line: object) => stdin.end(`${JSON.stringify(line)}\n`);
  const endHost = () => void child.stdio[3]?.destroy();
  return {
    endHost,
    write,
    pid: child.pid as number,
    kill: (signal: NodeJS.Signals) => child.kill(signal),
    exited,
    log,
  };
}

/** Kills the processes with the mark. */
export function endAll(sandboxId: string): void {
  for (const { pid } of processesOf(`VALET_SANDBOX_ID=${sandboxId}`)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // The process has just ended.
    }
  }
}
