/** Commands of workflows: run by a shell in the workspace, bounded in time and in what is kept of their output. */
import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { PROVIDER_KEYS } from "@valet/shared/protocol/model-access";
import { MAX_STEP_OUTPUT } from "@valet/shared/protocol/workflow";
import { cutStart } from "@valet/shared/text";
import { injectIntoEnvironment, type SpanContext } from "@valet/shared/tracing";
import { collectEnd, killGroup } from "../processes/child-processes.ts";
import { withoutOurs } from "../processes/environment.ts";
import { STEP_VARIABLE } from "../processes/marks.ts";
import { killOrphans } from "../processes/orphans.ts";
import type { SecretValues } from "../secrets/secret-values.ts";

export interface CommandOptions {
  /** What the shell is given. */
  readonly run: string;
  readonly workspace: string;
  /** The runner's environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The step that it is run for: {@link stepIdOf}. */
  readonly stepId: string;
  /** What the command's own spans hang below. */
  readonly context: SpanContext;
  readonly timeoutMs: number;
  /** What is taken out of its output. */
  readonly secrets?: SecretValues | undefined;
  /** Ends it and all that it started. */
  readonly signal: AbortSignal;
}

export interface CommandResult {
  /** Absent where it did not end by itself, or could not be started. */
  readonly exitCode: number | undefined;
  /** What killed it, where a signal did. */
  readonly signal: string | undefined;
  readonly isTimeout: boolean;
  /** What it wrote to standard output and standard error, or the end of that. */
  readonly output: string;
}

/** For the rest of its output after a command's end: what it left running may hold the pipes for ever. */
const DRAIN_MS = 250;
const SHELL = Bun.which("bash") ?? "sh";

/** Runs a command to its end. What it leaves running in the background goes on, but for an abort or a timeout. Never rejects. */
export async function runCommand({
  run,
  workspace,
  stepId,
  timeoutMs,
  signal,
  ...rest
}: CommandOptions): Promise<CommandResult> {
  let child: ChildProcess;
  try {
    child = spawn(SHELL, ["-c", run], {
      cwd: workspace,
      env: environment(rest.env, stepId, rest.context),
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
  } catch {
    // Too much for the system to begin, say.
    return { exitCode: undefined, signal: undefined, isTimeout: false, output: "" };
  }
  // One more than is kept shows that there was more.
  const output = collectEnd([child.stdout, child.stderr], MAX_STEP_OUTPUT + 1, rest.secrets);
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const ended = new Promise<Pick<CommandResult, "exitCode" | "signal">>((resolve) => {
    child.once("error", () => resolve({ exitCode: undefined, signal: undefined }));
    child.once("exit", (code, signal) => resolve({ exitCode: code ?? undefined, signal: signal ?? undefined }));
  });
  const kill = () => {
    killGroup(child.pid);
    killCommandOf(stepId);
  };
  let isTimeout = false;
  const timer = setTimeout(() => {
    isTimeout = true;
    kill();
  }, timeoutMs);
  signal.addEventListener("abort", kill, { once: true });
  if (signal.aborted) kill();
  const { exitCode, signal: killedBy } = await ended;
  clearTimeout(timer);
  signal.removeEventListener("abort", kill);
  await Promise.race([closed, sleep(DRAIN_MS)]);
  return { exitCode, signal: killedBy, isTimeout, output: cutStart(output(), MAX_STEP_OUTPUT) };
}

/** What tells a step's processes from those of all others. */
export function stepIdOf(attemptId: string, index: number): string {
  return `${attemptId}/${index}`;
}

/** Kills what the command of a step left running, also that of a runner that died. */
export function killCommandOf(stepId: string): void {
  killOrphans(STEP_VARIABLE, stepId);
}

/** As the agent's own shells have it, and without the keys of models, for which a command has no use. */
function environment(env: CommandOptions["env"], stepId: string, context: SpanContext): Record<string, string> {
  const own: Record<string, string> = { ...withoutOurs(env), [STEP_VARIABLE]: stepId };
  for (const key of PROVIDER_KEYS) delete own[key];
  injectIntoEnvironment(context, own);
  return own;
}
