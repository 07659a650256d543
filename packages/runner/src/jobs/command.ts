/** Runs commands of workflows by a shell in the workspace, with a timeout and a limit on the stored output. */
import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { type CommitOrigin, commitVariables } from "@valet/shared/protocol/commit-trailers";
import { PROVIDER_KEYS } from "@valet/shared/protocol/model-access";
import { MAX_STEP_OUTPUT } from "@valet/shared/protocol/workflow";
import { cutStart } from "@valet/shared/text";
import type { SpanContext } from "@valet/shared/tracing";
import { collectEnd, killGroup } from "../processes/child-processes.ts";
import { withoutOurs } from "../processes/environment.ts";
import { STEP_VARIABLE } from "../processes/marks.ts";
import { killOrphans } from "../processes/orphans.ts";
import type { SecretValues } from "../secrets/secret-values.ts";
import { commandEnvironment, type OtlpVariables } from "../tools/command-environment.ts";
import { NO_WALL, type Wall, WallError } from "../wall/wall.ts";

export interface CommandOptions {
  /** The shell command. */
  readonly run: string;
  readonly workspace: string;
  /** The runner's environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What the command runs behind; nothing by default. */
  readonly wall?: Wall | undefined;
  /** The id of the command's step: {@link stepIdOf}. */
  readonly stepId: string;
  /** The parent of the command's own spans. */
  readonly context: SpanContext;
  /** How git finds the hooks that add trailers to commits, and what they name; absent if commits get none. */
  readonly commit?: { readonly hooks: string; readonly origin: CommitOrigin } | undefined;
  /** How the command's programs send their traces; absent if they do not. */
  readonly otlp?: OtlpVariables | undefined;
  readonly timeoutMs: number;
  /** Secrets that are redacted from its output. */
  readonly secrets?: SecretValues | undefined;
  /** Kills the command and its child processes. */
  readonly signal: AbortSignal;
}

export interface CommandResult {
  /** Absent if a signal killed it, or it could not be started. */
  readonly exitCode: number | undefined;
  /** The signal that killed it. */
  readonly signal: string | undefined;
  readonly isTimeout: boolean;
  /** Whether it could not be started because the wall around it could not be built. */
  readonly isWallMissing?: true;
  /** The end of its standard output and standard error. */
  readonly output: string;
}

/** How long to wait for the rest of the output after the command's end, since background processes may hold the pipes open. */
const DRAIN_MS = 250;
const SHELL = Bun.which("bash") ?? "sh";

/** Runs a command. Its background processes keep running, except after an abort or a timeout. Never rejects. */
export async function runCommand({
  run,
  workspace,
  stepId,
  timeoutMs,
  signal,
  wall = NO_WALL,
  ...rest
}: CommandOptions): Promise<CommandResult> {
  let child: ChildProcess;
  try {
    const { command, cwd } = await wall.enter([SHELL, "-c", run], workspace);
    child = spawn(command[0], command.slice(1), {
      cwd,
      env: environment(stepId, rest),
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
  } catch (error) {
    // For example, because the command is too long for the system.
    const failed = { exitCode: undefined, signal: undefined, isTimeout: false };
    // Its message is neither content nor a secret.
    return error instanceof WallError
      ? { ...failed, isWallMissing: true, output: `the wall around the command cannot be built: ${error.message}` }
      : { ...failed, output: "" };
  }
  // One character more than the limit shows that the output was longer.
  const output = collectEnd([child.stdout, child.stderr], MAX_STEP_OUTPUT + 1, rest.secrets);
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const ended = new Promise<Pick<CommandResult, "exitCode" | "signal">>((resolve) => {
    child.once("error", () => resolve({ exitCode: undefined, signal: undefined }));
    child.once("exit", (code, ownSignal) => {
      const signal = ownSignal ?? (code === null ? undefined : wall.signalOf(code));
      resolve({ exitCode: signal === undefined ? (code ?? undefined) : undefined, signal });
    });
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

/** Returns the id that marks a step's processes. */
export function stepIdOf(attemptId: string, index: number): string {
  return `${attemptId}/${index}`;
}

/** Kills the background processes of a step's command, also of one that a dead runner started. */
export function killCommandOf(stepId: string): void {
  killOrphans(STEP_VARIABLE, stepId);
}

/** Returns the environment of the agent's shells, without the keys of models, which a command does not need. */
function environment(
  stepId: string,
  { env, context, commit, otlp }: Pick<CommandOptions, "env" | "context" | "commit" | "otlp">,
): Record<string, string> {
  const own: Record<string, string> = { ...withoutOurs(env), [STEP_VARIABLE]: stepId };
  for (const key of PROVIDER_KEYS) delete own[key];
  Object.assign(own, commandEnvironment({ context }, otlp));
  if (commit !== undefined) Object.assign(own, commitVariables(own, commit.hooks, commit.origin));
  return own;
}
