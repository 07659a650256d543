import type { CommitOrigin } from "@valet/shared/protocol/commit-trailers";
import type { PromptDispatch, WorkflowDispatch } from "@valet/shared/protocol/dispatch";
import { QUEUE_MODES, QUEUE_REASONS } from "@valet/shared/spans";
import { extractFromHeaders } from "@valet/shared/tracing";

/** Returns the attributes that the span of a job copies from its dispatch. */
export function dispatchAttributes({ attemptId, attempt, channel, queue }: PromptDispatch | WorkflowDispatch) {
  return {
    "valet.dispatch.attempt_id": attemptId,
    "valet.dispatch.attempt": attempt,
    "valet.channel.id": channel,
    "valet.queue.wait_ms": Math.round(queue.waitMs),
    "valet.queue.reason": QUEUE_REASONS.find((reason) => reason === queue.reason),
    "valet.queue.mode": QUEUE_MODES.find((mode) => mode === queue.mode),
  };
}

/** Returns what the trailers of commits name that are made for a job. */
export function commitOriginOf(dispatch: PromptDispatch | WorkflowDispatch): CommitOrigin {
  const { traceparent, tracestate } = dispatch;
  const context = extractFromHeaders({ traceparent, tracestate });
  return {
    messageId: "messageId" in dispatch ? dispatch.messageId : dispatch.executionId,
    ...(context !== undefined && { traceId: context.traceId }),
  };
}
