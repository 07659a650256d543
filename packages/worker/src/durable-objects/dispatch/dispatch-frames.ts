/** What goes to the runner for one attempt: the frame's contents, from the rows of the queue. Pure. */
import type { PromptDispatch, WorkflowDispatch } from "@valet/shared/protocol/runner-link";
import { contextHeaders, type SpanContext } from "@valet/shared/tracing";
import type { MessageBody, MessageRow, WorkflowBody } from "../queue/job-store.ts";
import type { NewAttempt } from "../queue/queue-spans.ts";

/** What the runner needs besides the message or workflow. */
export interface DispatchSettings {
  readonly generation: number;
  readonly model: string | undefined;
  readonly models: readonly string[];
  readonly opencodeSessionId: string | undefined;
  readonly continuationContext: string | undefined;
}

/** @param rows messages of one channel, several in a collected batch @param bodies theirs, in the same order */
export function promptDispatch(
  attempt: NewAttempt,
  rows: readonly [MessageRow, ...MessageRow[]],
  bodies: readonly MessageBody[],
  settings: DispatchSettings,
  context: SpanContext,
): PromptDispatch {
  const [head] = rows;
  const last = bodies.at(-1) as MessageBody;
  const { queue, ...common } = anyDispatch(attempt, head, settings, context);
  const authors = new Set(bodies.map(({ author }) => JSON.stringify(author)));
  const isCollected = head.mode === "collect";
  const model = last.model ?? settings.model;
  return {
    ...{ ...common, messageId: head.id, messageIds: rows.map(({ id }) => id) },
    queue: { ...queue, ...(isCollected && { collectBufferMs: Math.max(attempt.nowMs - head.acceptedMs, 0) }) },
    content: bodies.map(({ content }) => content).join("\n\n"),
    attachments: bodies.flatMap(({ attachments }) => attachments),
    models: [...(last.models ?? settings.models)],
    ...(authors.size === 1 && last.author !== undefined && { author: last.author }),
    ...(model !== undefined && { model }),
    ...(last.threadId !== undefined && { threadId: last.threadId }),
    ...(last.replyChannel !== undefined && { replyChannel: last.replyChannel }),
  };
}

/** @param firstStep where to begin */
export function workflowDispatch(
  attempt: NewAttempt,
  row: MessageRow,
  { name, steps, onFailure }: WorkflowBody,
  firstStep: number,
  settings: DispatchSettings,
  context: SpanContext,
): WorkflowDispatch {
  return {
    ...anyDispatch(attempt, row, settings, context),
    ...{ executionId: row.id, name, steps: [...steps], onFailure, firstStep },
    models: [...settings.models],
    ...(settings.model !== undefined && { model: settings.model }),
  };
}

function anyDispatch(
  { id, number, waitMs, reason }: NewAttempt,
  { channel, mode }: MessageRow,
  { opencodeSessionId, continuationContext }: DispatchSettings,
  context: SpanContext,
) {
  return {
    ...{ attemptId: id, attempt: number, channel, queue: { waitMs, reason, mode }, refuseUnknownModels: true },
    ...(opencodeSessionId !== undefined && { opencodeSessionId }),
    ...(continuationContext !== undefined && { continuationContext }),
    ...contextHeaders(context),
  };
}
