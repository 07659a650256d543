/** Runs the turn of a dispatched message or batch, with its span `valet.turn`. */

import type { StepDurations } from "@valet/shared/answers/verdict/durations";
import { endWith, type SpanOf } from "@valet/shared/outcome";
import type { PromptDispatch } from "@valet/shared/protocol/dispatch";
import type { MessagePart } from "@valet/shared/protocol/message-part";
import { firstModel } from "@valet/shared/protocol/model-access";
import type { TurnSummary } from "@valet/shared/protocol/turn";
import type { ErrorType, ValetSpans } from "@valet/shared/spans";
import { extractFromHeaders, type SpanContext, SpanKind } from "@valet/shared/tracing";
import type { AgentReply, ModelCallRef, ToolCallRef } from "../agent/agent.ts";
import { createMillisClock, openSpanText } from "../spans/tracing.ts";
import { type AbortReason, AgentTask, type AgentTaskOptions, type CallPermit, type TaskResult } from "./agent-task.ts";
import { dispatchAttributes } from "./dispatch-attributes.ts";
import { usageAttributes } from "./tool-usage.ts";

/** The result of a turn: the `turn-ended` frame without its envelope. */
export interface TurnResult {
  readonly outcome: "ok" | "error" | "aborted";
  /** Absent if the outcome is `ok`. */
  readonly errorType?: ErrorType;
  /** If every model failed: why the last one did, and its name. */
  readonly cause?: ErrorType;
  readonly causeOf?: string;
  readonly opencodeSessionId?: string;
  readonly parts: MessagePart[];
  readonly summary: TurnSummary;
  readonly stepDurations?: StepDurations[];
}

export class Turn {
  readonly #nowMs = createMillisClock();
  readonly #span: SpanOf<"valet.turn">;
  readonly #task: AgentTask;

  constructor(options: AgentTaskOptions, dispatch: PromptDispatch) {
    const startMs = this.#nowMs();
    this.#span = options.tracer.startSpan("valet.turn", {
      kind: SpanKind.CONSUMER,
      // Only the dispatch's context. Without one the turn begins a trace, even if other work is running.
      parent: extractFromHeaders({ traceparent: dispatch.traceparent, tracestate: dispatch.tracestate }),
      startTime: startMs,
      attributes: {
        ...turnAttributes(dispatch),
        "valet.sandbox.isolation": options.isolation,
        "gen_ai.request.model": firstModel(dispatch, options.defaultModel),
      },
    });
    const task = { ...dispatch, attributes: { "valet.message.id": dispatch.messageId } };
    this.#task = new AgentTask(options, task, { span: this.#span, startMs, nowMs: this.#nowMs });
  }

  /** The open `valet.turn`, for a successor that must end it if this process dies; `undefined` if it is not recorded. */
  get openSpan(): string | undefined {
    return openSpanText(this.#span);
  }

  progress(): TurnSummary {
    return this.#task.progress();
  }

  /** @param before settles when the previous job of the channel has ended */
  async run(before: Promise<unknown>): Promise<TurnResult> {
    await before;
    const result = await this.#task.run();
    this.#end(result);
    const { outcome, failovers: _, ...rest } = result;
    return { ...rest, outcome: outcome === "superseded" ? "aborted" : outcome };
  }

  /** Aborts the turn. Resolves once the agent is idle. The first reason counts. */
  abort(reason: AbortReason): Promise<void> {
    return this.#task.abort(reason);
  }

  /** Passes on a person's reply, if it is to a request of this turn. */
  reply(reply: AgentReply): Promise<void> {
    return this.#task.reply(reply);
  }

  toolContext(call: ToolCallRef): SpanContext | undefined {
    return this.#task.toolContext(call);
  }

  worksIn(sessionId: string): boolean {
    return this.#task.worksIn(sessionId);
  }

  permitModelCall(call: ModelCallRef): Promise<CallPermit> {
    return this.#task.permitModelCall(call);
  }

  #end({ outcome, errorType, cause, opencodeSessionId, summary, failovers }: TaskResult): void {
    this.#span.setAttributes({
      "valet.opencode.session.id": opencodeSessionId,
      "valet.error.cause": cause,
      "valet.turn.failover_count": failovers,
      "valet.turn.model_call_count": summary.modelCalls,
      "valet.turn.retry_count": summary.retries,
      "valet.turn.tool_call_count": summary.toolCalls,
      "valet.turn.tool_error_count": summary.toolErrors,
      "valet.turn.time_to_first_token_ms": summary.timeToFirstTokenMs,
      "valet.turn.prepare_ms": summary.prepareMs,
      ...usageAttributes(summary.usage ?? {}),
    });
    endWith(this.#span, outcome, errorType, this.#nowMs());
  }
}

function turnAttributes(dispatch: PromptDispatch): ValetSpans["valet.turn"]["attributes"] {
  const { queue, messageIds } = dispatch;
  const isBatch = messageIds.length > 1 || queue.collectBufferMs !== undefined;
  return {
    ...dispatchAttributes(dispatch),
    "valet.message.id": dispatch.messageId,
    "valet.thread.id": dispatch.threadId,
    "valet.collect.message_count": isBatch ? messageIds.length : undefined,
    "valet.collect.buffer_ms": queue.collectBufferMs === undefined ? undefined : Math.round(queue.collectBufferMs),
    "valet.collect.message_ids": isBatch ? messageIds : undefined,
  };
}
