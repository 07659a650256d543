/** What a runner is given, and what it gives to the agent that it starts: see `runner.ts`. */
import type { Heard } from "@valet/shared/heard";
import type { LimitError } from "@valet/shared/limit-errors";
import type { ChildSessionAnswer } from "@valet/shared/protocol/child-sessions";
import type { ToRunnerOf } from "@valet/shared/protocol/runner-link";
import type { RunnerIsolation } from "@valet/shared/protocol/sandbox-broker";
import type { RunnerWarning } from "@valet/shared/protocol/warnings";
import type { Parent } from "@valet/shared/tracing";
import type { JobNews, Jobs } from "./jobs/attempts.ts";
import type { WorkObserver } from "./jobs/job-runner.ts";
import type { ChildRequest } from "./link/child-requests.ts";
import type { LinkOptions } from "./link/link.ts";
import type { AgentOtlp } from "./receiver/agent-otlp.ts";
import type { SecretValues } from "./secrets/secret-values.ts";
import type { Settings } from "./settings.ts";
import type { SpanOutbox } from "./spans/span-outbox.ts";
import type { RunnerTracer, Tracing } from "./spans/tracing.ts";
import type { Journal, StepFrame } from "./state/journal.ts";
import type { OtlpVariables } from "./tools/command-environment.ts";
import type { SandboxUsage } from "./usage/sandbox-usage.ts";
import type { Wall } from "./wall/wall.ts";

/** The agent's process, and the jobs that use it. */
export interface Agent {
  readonly jobs: Jobs;
  /** Ends the process and its child processes, also during its start. */
  stop(): Promise<void>;
}

export interface AgentStart {
  readonly config: ToRunnerOf<"config">;
  readonly tracer: RunnerTracer;
  /** The parent of the start's spans. */
  readonly parent: Parent;
  readonly workspace: string;
  /** The runner's state folder. */
  readonly stateFolder: string;
  /** What the agent and its commands run behind. */
  readonly wall: Wall;
  /** What separates the agent from the rest of the machine; unknown if absent. */
  readonly isolation?: RunnerIsolation | undefined;
  /** Measures what the agent and its commands use. */
  readonly usage?: SandboxUsage | undefined;
  /** Settles once the repository is set up; the agent does not read the workspace before. Never rejects. */
  readonly workspaceReady: Promise<unknown>;
  /** The timeout until the agent is ready to work, with the wait for the repository. */
  readonly startTimeoutMs: number;
  tell(news: JobNews): void;
  /** Reports that a step with a command has begun. Resolves once the command may run, or `signal` aborts. Never rejects. */
  beginCommand(step: StepFrame, signal: AbortSignal): Promise<void>;
  /** Sends a request of the agent to the SessionAgent. Never rejects. */
  ask(request: ChildRequest, signal: AbortSignal): Promise<ChildSessionAnswer>;
  /** Called on progress of what the span waits for. @param atMs epoch ms */
  heard(spanId: string, atMs: number, what: Heard): void;
  /** Receives problems after which work continues; never quotes content. */
  onProblem(problem: string): void;
  /** Receives what a person should know although the agent works. */
  onWarning(warning: RunnerWarning): void;
  /** Secrets that are redacted from everything that comes from the agent. */
  readonly secrets: SecretValues;
  /** Is called at the start and the end of each attempt's work. */
  readonly onWork: WorkObserver;
  /** The folder of the hooks that add trailers to commits; absent if they get none. */
  readonly commitHooks: string | undefined;
  /** How long one attribute with content may be, in bytes of UTF-8. */
  readonly contentMaxBytes: number;
  /** How programs of commands send their traces; absent if they do not. */
  readonly otlp?: OtlpVariables | undefined;
}

export interface RunnerOptions {
  readonly settings: Settings;
  readonly token: string;
  readonly restartCount: number;
  /** The limit of the sandbox that ended the runner before this one, if that is known. */
  readonly restartCause?: LimitError | undefined;
  /** Identifies this process; a restarted runner has another one. */
  readonly instanceId: string;
  /** Receives every secret that the runner learns; a new collection by default. */
  readonly secrets?: SecretValues;
  readonly tracing: Tracing;
  readonly outbox: SpanOutbox;
  /** The receiver of what commands send; without it they send nothing. */
  readonly agentOtlp?: AgentOtlp;
  readonly journal: Journal;
  /** What the agent and its commands run behind; nothing by default. */
  readonly wall?: Wall;
  /** Measures what the agent and its commands use; nothing does by default. */
  readonly usage?: SandboxUsage | undefined;
  /** Begins to start the agent. `healthy` rejects if it does not become healthy. */
  startAgent(start: AgentStart): { readonly agent: Agent; readonly healthy: Promise<unknown> };
  /** Receives problems after which work continues; never quotes content. */
  onProblem(problem: string): void;
  readonly link?: Partial<
    Pick<LinkOptions, "heartbeatMs" | "signMs" | "firstDelayMs" | "maxDelayMs" | "connectTimeoutMs" | "random">
  >;
  /** The time limit of a stop. Shorter than the time after which the broker kills the sandbox. */
  readonly stopMs?: number;
}
