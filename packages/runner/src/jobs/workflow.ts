/** Executes a dispatched workflow, its steps in order, with its span `valet.workflow.execute`. */
import type { StepDurations } from "@valet/shared/answers/verdict/durations";
import type { LimitError } from "@valet/shared/limit-errors";
import { endWith, type SpanOf } from "@valet/shared/outcome";
import type { WorkflowDispatch } from "@valet/shared/protocol/dispatch";
import { firstModel } from "@valet/shared/protocol/model-access";
import type { TurnSummary } from "@valet/shared/protocol/turn";
import { MAX_STEP_OUTPUT, stepType, type WorkflowStep, type WorkflowStepState } from "@valet/shared/protocol/workflow";
import type { EndReason, ErrorType, Outcome } from "@valet/shared/spans";
import { cutStart } from "@valet/shared/text";
import { extractFromHeaders, type SpanContext, SpanKind } from "@valet/shared/tracing";
import { withoutUndefined } from "@valet/shared/without-undefined";
import type { AgentReply, ModelCallRef, ToolCallRef } from "../agent/agent.ts";
import { mergeDurations } from "../agent/step-times.ts";
import { addSummaries, NO_SUMMARY } from "../agent/summary.ts";
import type { SecretValues } from "../secrets/secret-values.ts";
import { createMillisClock, openSpanText } from "../spans/tracing.ts";
import type { OtlpVariables } from "../tools/command-environment.ts";
import { limitThatEnded } from "../usage/blame.ts";
import type { Wall } from "../wall/wall.ts";
import {
  type AbortReason,
  AgentTask,
  type AgentTaskOptions,
  type CallPermit,
  cutEnding,
  type TaskResult,
} from "./agent-task.ts";
import { type CommandResult, runCommand, stepIdOf } from "./command.ts";
import { commitOriginOf, dispatchAttributes } from "./dispatch-attributes.ts";
import { usageAttributes } from "./tool-usage.ts";

export interface WorkflowOptions extends AgentTaskOptions {
  /** The runner's environment, from which commands receive everything except Valet's own variables. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly commandTimeoutMs: number;
  /** What commands run behind; nothing by default. */
  readonly wall?: Wall;
  /** The folder of the hooks that add trailers to commits; absent if they get none. */
  readonly commitHooks?: string | undefined;
  /** How programs of commands send their traces; absent if they do not. */
  readonly otlp?: OtlpVariables | undefined;
  /** Secrets that are redacted from the output of commands. */
  readonly secrets?: SecretValues;
  /** @param span the open span of a step that has just begun */
  onStep(attemptId: string, state: WorkflowStepState, span: string | undefined): void;
  /**
   * As `onStep`, of a step with a command. Resolves once the command may run: no other attempt runs it any more. Resolves also when
   * `signal` aborts. Must not reject.
   */
  onCommand(attemptId: string, state: WorkflowStepState, span: string | undefined, signal: AbortSignal): Promise<void>;
}

/** The result of a workflow: the `workflow-ended` frame without its envelope. */
export interface WorkflowResult {
  readonly outcome: "ok" | "error" | "aborted";
  /** Absent if the outcome is `ok`. */
  readonly errorType?: ErrorType;
  readonly opencodeSessionId?: string;
  readonly steps: WorkflowStepState[];
  readonly summary: TurnSummary;
  /** Absent if there are none. */
  readonly stepDurations?: StepDurations[];
}

type StepSpan = SpanOf<`valet.workflow.step ${string}`>;
type StepErrorType = EndReason<`valet.workflow.step ${string}`>;

interface StepEnd {
  readonly outcome: Extract<Outcome, "ok" | "error" | "aborted" | "superseded">;
  readonly errorType?: StepErrorType | undefined;
  readonly cause?: ErrorType | undefined;
  readonly causeOf?: string | undefined;
  readonly exitCode?: number | undefined;
  readonly signal?: string | undefined;
  readonly output: string;
}

/** The running step. */
interface Current {
  /** Absent for a command, which has no figures. */
  progress?(): TurnSummary;
  abort(reason: AbortReason): Promise<void>;
  reply(reply: AgentReply): Promise<void>;
  toolContext(call: ToolCallRef): SpanContext | undefined;
}

export class Workflow {
  readonly #options: WorkflowOptions;
  readonly #dispatch: WorkflowDispatch;
  readonly #nowMs = createMillisClock();
  readonly #startMs: number;
  readonly #span: SpanOf<"valet.workflow.execute">;
  readonly #states: WorkflowStepState[] = [];
  #summary: TurnSummary = NO_SUMMARY;
  #durations: readonly StepDurations[] = [];
  #opencodeSessionId: string | undefined;
  #current: Current | undefined;
  /** The task of the last prompt step that has begun. */
  #lastTask: AgentTask | undefined;
  #cut: AbortReason | undefined;

  constructor(options: WorkflowOptions, dispatch: WorkflowDispatch) {
    this.#options = options;
    this.#dispatch = dispatch;
    this.#opencodeSessionId = dispatch.opencodeSessionId;
    this.#startMs = this.#nowMs();
    this.#span = options.tracer.startSpan("valet.workflow.execute", {
      kind: SpanKind.CONSUMER,
      // Only the dispatch's context. Without one the execution begins a trace, even if other work is running.
      parent: extractFromHeaders({ traceparent: dispatch.traceparent, tracestate: dispatch.tracestate }),
      startTime: this.#startMs,
      attributes: {
        ...dispatchAttributes(dispatch),
        "valet.workflow.execution.id": dispatch.executionId,
        "valet.workflow.name": dispatch.name,
        "valet.workflow.step_count": dispatch.steps.length,
        "gen_ai.request.model": firstModel(dispatch, options.defaultModel),
      },
    });
  }

  /** The open `valet.workflow.execute`, for a successor that must end it if this process dies; `undefined` if not recorded. */
  get openSpan(): string | undefined {
    return openSpanText(this.#span);
  }

  /** Returns the figures of its prompt steps so far. */
  progress(): TurnSummary {
    const current = this.#current?.progress?.();
    const sum = current === undefined ? this.#summary : addSummaries(this.#summary, current);
    return { ...sum, turnMs: this.#nowMs() - this.#startMs };
  }

  /** @param before settles when the previous job of the channel has ended */
  async run(before: Promise<unknown>): Promise<WorkflowResult> {
    await before;
    const { steps, firstStep, onFailure } = this.#dispatch;
    for (const [index, step] of steps.entries()) {
      if (this.#cut !== undefined) break;
      if (index < firstStep) continue;
      if (onFailure === "stop" && this.#failed > 0) this.#skip(index, step);
      else await this.#runStep(index, step);
    }
    return this.#end();
  }

  /** Aborts the workflow: no further step begins. Resolves once the running step has ended. The first reason counts. */
  async abort(reason: AbortReason): Promise<void> {
    this.#cut ??= reason;
    await this.#current?.abort(this.#cut);
  }

  /** Passes on a person's reply, if it is to a request of the running step. */
  async reply(reply: AgentReply): Promise<void> {
    await this.#current?.reply(reply);
  }

  /** Returns the context of a tool call's span; `undefined` if it is not a call of the running step. */
  toolContext(call: ToolCallRef): SpanContext | undefined {
    return this.#current?.toolContext(call);
  }

  worksIn(sessionId: string): boolean {
    return this.#lastTask?.worksIn(sessionId) === true;
  }

  async permitModelCall(call: ModelCallRef): Promise<CallPermit> {
    return (await this.#lastTask?.permitModelCall(call)) ?? { isRefused: false, context: undefined };
  }

  get #failed(): number {
    return this.#states.filter(({ outcome }) => outcome === "error").length;
  }

  #startSpan(index: number, step: WorkflowStep, startMs: number): StepSpan {
    return this.#options.tracer.startSpan(`valet.workflow.step ${step.name}`, {
      parent: this.#span,
      startTime: startMs,
      attributes: {
        "valet.workflow.execution.id": this.#dispatch.executionId,
        "valet.workflow.step.name": step.name,
        "valet.workflow.step.index": index,
        "valet.workflow.step.type": stepType(step),
      },
    });
  }

  #skip(index: number, step: WorkflowStep): void {
    const nowMs = this.#nowMs();
    endWith(this.#startSpan(index, step, nowMs), "skipped", "previous_step_failed", nowMs);
    this.#tell({ index, status: "done", outcome: "skipped", errorType: "previous_step_failed" });
  }

  async #runStep(index: number, step: WorkflowStep): Promise<void> {
    const startMs = this.#nowMs();
    const span = this.#startSpan(index, step, startMs);
    const { outcome, errorType, cause, causeOf, exitCode, signal, output } =
      "prompt" in step
        ? await this.#ask(index, step.prompt, span, startMs)
        : await this.#command(index, step.run, span);
    this.#current = undefined;
    const endMs = this.#nowMs();
    span.setAttributes({ "process.exit.code": exitCode, "valet.process.signal": signal, "valet.error.cause": cause });
    endWith(span, outcome, errorType, endMs);
    this.#tell({
      index,
      status: "done",
      outcome: outcome === "superseded" ? "aborted" : outcome,
      ...withoutUndefined({ errorType, cause, causeOf, exitCode, signal, output: output === "" ? undefined : output }),
      durationMs: endMs - startMs,
    });
  }

  async #ask(index: number, content: string, span: StepSpan, startMs: number): Promise<StepEnd> {
    this.#options.onStep(this.#dispatch.attemptId, { index, status: "running" }, openSpanText(span));
    const { attemptId, executionId, model, models, refuseUnknownModels, continuationContext } = this.#dispatch;
    const attributes = { "valet.workflow.execution.id": executionId };
    const agent = {
      model,
      models,
      refuseUnknownModels,
      continuationContext,
      opencodeSessionId: this.#opencodeSessionId,
    };
    const task = new AgentTask(
      this.#options,
      { attemptId, content, attachments: [], attributes, ...agent },
      { span, startMs, nowMs: this.#nowMs },
    );
    this.#current = task;
    this.#lastTask = task;
    const result = await task.run();
    this.#current = undefined;
    this.#opencodeSessionId = result.opencodeSessionId ?? this.#opencodeSessionId;
    this.#summary = addSummaries(this.#summary, result.summary);
    this.#durations = mergeDurations(this.#durations, result.stepDurations ?? []);
    const { outcome, errorType, cause, causeOf } = result;
    return { outcome, errorType, cause, causeOf, output: answerOf(result) };
  }

  async #command(index: number, run: string, span: StepSpan): Promise<StepEnd> {
    const { workspace, env, otlp, wall, secrets, commitHooks, commandTimeoutMs: timeoutMs } = this.#options;
    const aborting = new AbortController();
    const { attemptId } = this.#dispatch;
    const stepId = stepIdOf(attemptId, index);
    const { context } = span;
    let running: Promise<CommandResult> | undefined;
    this.#current = {
      async abort() {
        aborting.abort();
        await running;
      },
      async reply() {},
      toolContext: () => undefined,
    };
    await this.#options.onCommand(attemptId, { index, status: "running" }, openSpanText(span), aborting.signal);
    if (this.#cut !== undefined) return { ...cutEnding(this.#cut), output: "" };
    const measured = this.#options.usage?.begin();
    running = runCommand({
      run,
      workspace,
      env,
      wall,
      stepId,
      context,
      otlp,
      commit: commitHooks === undefined ? undefined : { hooks: commitHooks, origin: commitOriginOf(this.#dispatch) },
      timeoutMs,
      secrets,
      signal: aborting.signal,
    });
    const result = await running;
    const { usage = {}, limits = [] } = measured?.end() ?? {};
    this.#summary = addSummaries(this.#summary, { ...NO_SUMMARY, usage });
    span.setAttributes(usageAttributes(usage));
    const limit = limitThatEnded(result, limits);
    if (limit !== undefined) this.#options.usage?.explained(limit);
    return this.#commandEnd(result, limit);
  }

  #commandEnd({ isTimeout, isWallMissing, ...told }: CommandResult, limit: LimitError | undefined): StepEnd {
    if (told.exitCode === 0) return { outcome: "ok", ...told };
    if (this.#cut !== undefined) return { ...cutEnding(this.#cut), ...told };
    if (isWallMissing) return { outcome: "error", errorType: "wall_failed", ...told };
    return { outcome: "error", errorType: limit ?? (isTimeout ? "command_timeout" : "command_failed"), ...told };
  }

  #tell(state: WorkflowStepState): void {
    this.#states.push(state);
    this.#options.onStep(this.#dispatch.attemptId, state, undefined);
  }

  #end(): WorkflowResult {
    const endMs = this.#nowMs();
    const failed = this.#failed;
    const failure = { outcome: "error", errorType: "workflow_step_failed" } as const;
    const ending = this.#cut === undefined ? (failed > 0 ? failure : undefined) : cutEnding(this.#cut);
    this.#span.setAttribute("valet.workflow.failed_step_count", failed);
    endWith(this.#span, ending?.outcome ?? "ok", ending?.errorType, endMs);
    return {
      outcome: ending === undefined ? "ok" : ending.outcome === "superseded" ? "aborted" : ending.outcome,
      ...withoutUndefined({ errorType: ending?.errorType, opencodeSessionId: this.#opencodeSessionId }),
      steps: this.#states,
      summary: this.progress(),
      ...(this.#durations.length > 0 && { stepDurations: [...this.#durations] }),
    };
  }
}

function answerOf({ parts }: TaskResult): string {
  const text = parts.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n");
  return cutStart(text, MAX_STEP_OUTPUT);
}
