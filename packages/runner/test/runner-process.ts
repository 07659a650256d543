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
  /** Marks all that comes of it. */
  readonly sandboxId: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** What it reads; a token unless given. With `null` its standard input stays open and empty. */
  readonly input?: string | null;
  /** Whether it ends when its host does; {@link startRunnerProcess} gives what ends the host. */
  readonly hasLifeline?: boolean;
}

/** As the drivers and the image have it. */
const BUN_FLAGS = ["--no-env-file", "--config=/dev/null", "--no-install"];

/** Starts the entrypoint as a broker does. */
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
  const endHost = () => void child.stdio[3]?.destroy();
  return { endHost, pid: child.pid as number, kill: (signal: NodeJS.Signals) => child.kill(signal), exited, log };
}

/** Ends what carries the mark. */
export function endAll(sandboxId: string): void {
  for (const { pid } of processesOf(`VALET_SANDBOX_ID=${sandboxId}`)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has just ended.
    }
  }
}
