/**
 * The spans of the queue: of each message and workflow, of its waits and of the attempts at it. They are begun and ended in the
 * transaction of the rows that they describe, by prompt-queue.ts.
 */

import { endWith } from "@valet/shared/outcome";
import type { Failure } from "@valet/shared/protocol/failure";
import type { EndedBy, EndReason, ErrorType, Outcome, QueueReason } from "@valet/shared/spans";
import { type SpanContext, SpanKind } from "@valet/shared/tracing";
import type { SessionTracer } from "../core/session-tracer.ts";
import type { JobKind, JobRow, MessageBody, WorkflowBody } from "./job-store.ts";

/** What a message or a workflow may end with. */
export type WorkError = EndedBy<"message" | "workflow"> | "_OTHER";

/** What a message of the system comes from: another session of the family. */
export interface MessageOrigin {
  readonly link: "caused_by" | "spawned_by";
  /** What it is linked to, in that session's traces. */
  readonly context: SpanContext | undefined;
  readonly parentSessionId?: string;
  readonly childSessionId?: string;
}

type Waiting = Pick<JobRow, "id" | "kind" | "channel" | "mode">;

/** What an attempt is and how long it waited. */
export interface NewAttempt {
  readonly id: string;
  readonly number: number;
  readonly waitMs: number;
  readonly reason: QueueReason;
  readonly nowMs: number;
}

const OPERATION = { message: "valet.prompt", workflow: "valet.workflow" } as const;
const DISPATCH = { message: "valet.prompt.dispatch", workflow: "valet.workflow.dispatch" } as const;

export class QueueSpans {
  readonly #tracer: SessionTracer;

  constructor(tracer: SessionTracer) {
    this.#tracer = tracer;
  }

  startMessage(
    message: Pick<JobRow, "id" | "source" | "channel" | "mode"> & { readonly origin?: MessageOrigin | undefined },
    body: MessageBody,
    parent: SpanContext | undefined,
  ): SpanContext {
    const { origin } = message;
    const span = this.#tracer.start("valet.prompt", {
      parent,
      attributes: {
        "valet.message.id": message.id,
        "valet.message.source": message.source,
        "valet.message.content_length": body.content.length,
        "valet.message.attachment_count": body.attachments.length,
        "valet.queue.mode": message.mode,
        "gen_ai.request.model": body.model,
        "valet.channel.id": message.channel,
        "valet.thread.id": body.threadId,
        "valet.parent_session.id": origin?.parentSessionId,
        "valet.child_session.id": origin?.childSessionId,
      },
      links:
        origin?.context === undefined
          ? []
          : [{ context: origin.context, attributes: { "valet.link.type": origin.link } }],
    });
    return span.context;
  }

  startWorkflow(
    workflow: Pick<JobRow, "id" | "channel" | "mode">,
    { name, steps, onFailure }: WorkflowBody,
    parent: SpanContext | undefined,
  ): SpanContext {
    const span = this.#tracer.start("valet.workflow", {
      parent,
      attributes: {
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": name,
        "valet.workflow.execution.id": workflow.id,
        "valet.workflow.name": name,
        "valet.workflow.step_count": steps.length,
        "valet.workflow.on_failure": onFailure,
        "valet.queue.mode": workflow.mode,
        "valet.channel.id": workflow.channel,
      },
    });
    return span.context;
  }

  /** @param sinceMs when it began, epoch ms; now unless given */
  startWait(
    { id, kind, channel, mode }: Waiting,
    parent: SpanContext,
    position?: number,
    sinceMs?: number,
  ): SpanContext {
    const span = this.#tracer.start("valet.queue.wait", {
      parent,
      ...(sinceMs !== undefined && { startTime: sinceMs }),
      attributes: {
        ...(kind === "message" ? { "valet.message.id": id } : { "valet.workflow.execution.id": id }),
        "valet.channel.id": channel,
        "valet.queue.mode": mode,
        "valet.queue.position": position,
      },
    });
    return span.context;
  }

  /** Begins the wait after an attempt. @param sinceMs when that ended, epoch ms @param reason what is waited for since then */
  startWaitAgain(row: Waiting, parent: SpanContext, sinceMs: number, reason: QueueReason | undefined): SpanContext {
    const context = this.startWait(row, parent, undefined, sinceMs);
    if (reason === undefined) return context;
    this.#tracer.change("valet.queue.wait", context, (span) => {
      span.setAttribute("valet.queue.reason", reason);
      span.addEvent("valet.queue.reason", { "valet.queue.reason": reason }, sinceMs);
    });
    return context;
  }

  /**
   * @param reason what it waits for from now on, if that is new
   * @param on what it is linked to from now on
   * @param place of the session in the line for a sandbox, where it stands in it
   */
  noteWait(
    waitContext: SpanContext,
    reason: QueueReason | undefined,
    on: SpanContext | undefined,
    place: number | undefined,
  ): void {
    this.#tracer.change("valet.queue.wait", waitContext, (span) => {
      if (reason !== undefined) {
        // While it waits this is what it waits for, and in the end what it waited for last.
        span.setAttribute("valet.queue.reason", reason);
        span.addEvent("valet.queue.reason", { "valet.queue.reason": reason, "valet.capacity.place": place });
      }
      if (on !== undefined) span.addLink({ context: on, attributes: { "valet.link.type": "waited_on" } });
    });
  }

  /** The session has another place in the line for a sandbox. */
  notePlace(waitContext: SpanContext, place: number): void {
    this.#tracer.change("valet.queue.wait", waitContext, (span) => {
      span.addEvent("valet.capacity.place", { "valet.capacity.place": place });
    });
  }

  endWait(row: JobRow, nowMs: number, outcome: Outcome, errorType?: WorkError, failure?: Failure): void {
    this.#tracer.change("valet.queue.wait", row.waitContext, (span) => {
      span.setAttributes({
        "valet.queue.wait_ms": nowMs - row.waitingSinceMs,
        "valet.queue.reason": row.reason ?? "immediate",
        ...startAttributes(failure),
      });
      endWith(span, outcome, errorType as EndReason<"valet.queue.wait"> | undefined);
    });
  }

  /** @param rows messages of one channel, several in a collected batch */
  startPromptDispatch(
    attempt: NewAttempt,
    rows: readonly [JobRow, ...JobRow[]],
    threadId: string | undefined,
  ): SpanContext {
    const [head] = rows;
    const isCollected = head.mode === "collect";
    const span = this.#tracer.start("valet.prompt.dispatch", {
      kind: SpanKind.PRODUCER,
      parent: rows.length === 1 ? head.promptContext : undefined,
      attributes: {
        ...dispatchAttributes(attempt, head),
        "valet.message.id": head.id,
        "valet.thread.id": threadId,
        "valet.collect.message_count": isCollected ? rows.length : undefined,
        "valet.collect.buffer_ms": isCollected ? Math.max(attempt.nowMs - head.acceptedMs, 0) : undefined,
        "valet.collect.message_ids": isCollected ? rows.map(({ id }) => id) : undefined,
      },
      links: [...(rows.length > 1 ? rows.map(collectedLink) : []), ...followsLinks(rows)],
    });
    return span.context;
  }

  startWorkflowDispatch(attempt: NewAttempt, row: JobRow, { name }: WorkflowBody): SpanContext {
    const span = this.#tracer.start("valet.workflow.dispatch", {
      kind: SpanKind.PRODUCER,
      parent: row.promptContext,
      attributes: {
        ...dispatchAttributes(attempt, row),
        "valet.workflow.execution.id": row.id,
        "valet.workflow.name": name,
      },
      links: followsLinks([row]),
    });
    return span.context;
  }

  /** @param endMs when, epoch ms; now unless given */
  endDispatch(kind: JobKind, context: SpanContext, outcome: Outcome, errorType?: ErrorType, endMs?: number): void {
    this.#tracer.change(DISPATCH[kind], context, (span) => {
      if (errorType === "send_failed") span.setAttribute("valet.dispatch.sent", false);
      endWith(span, outcome, errorType as EndReason<"valet.workflow.dispatch"> | undefined, endMs);
    });
  }

  endMessage(
    row: JobRow,
    outcome: Outcome,
    errorType?: WorkError,
    cause?: SpanContext,
    failure?: Failure | null,
  ): void {
    this.#tracer.change("valet.prompt", row.promptContext, (span) => {
      span.setAttributes({
        "valet.dispatch.attempt": row.attempts > 0 ? row.attempts : undefined,
        "valet.error.cause": failure?.cause,
        ...startAttributes(failure),
      });
      if (cause !== undefined) span.addLink(causedBy(cause));
      endWith(span, outcome, errorType as EndReason<"valet.prompt"> | undefined);
    });
  }

  /** @param failed how many of its steps failed */
  endWorkflow(
    row: JobRow,
    outcome: Outcome,
    errorType?: WorkError,
    cause?: SpanContext,
    failure?: Failure | null,
    failed?: number,
  ): void {
    this.#tracer.change("valet.workflow", row.promptContext, (span) => {
      span.setAttributes({
        "valet.dispatch.attempt": row.attempts > 0 ? row.attempts : undefined,
        "valet.workflow.failed_step_count": row.attempts > 0 ? failed : undefined,
        "valet.error.cause": failure?.cause,
        ...startAttributes(failure),
      });
      if (cause !== undefined) span.addLink(causedBy(cause));
      endWith(span, outcome, errorType as EndReason<"valet.workflow"> | undefined);
    });
  }

  /** The link to the runner that works on it broke, or is back. */
  addEvent({ kind, promptContext }: JobRow, event: "valet.runner.disconnected" | "valet.runner.reconnected"): void {
    this.#tracer.change(OPERATION[kind], promptContext, (span) => span.addEvent(event));
  }
}

function dispatchAttributes({ id, number, waitMs, reason }: NewAttempt, { mode, channel }: JobRow) {
  return {
    "valet.dispatch.attempt_id": id,
    "valet.dispatch.attempt": number,
    "valet.dispatch.sent": true,
    "valet.queue.wait_ms": waitMs,
    "valet.queue.reason": reason,
    "valet.queue.mode": mode,
    "valet.channel.id": channel,
  } as const;
}

/** How the starts went that came to nothing. */
function startAttributes(failure: Failure | null | undefined) {
  return { "valet.sandbox.stage": failure?.stage, "valet.start.attempt_count": failure?.attempts } as const;
}

/** What ended a message or workflow that did not end by itself. */
function causedBy(context: SpanContext) {
  return { context, attributes: { "valet.link.type": "caused_by" } } as const;
}

function collectedLink({ promptContext }: JobRow) {
  return { context: promptContext, attributes: { "valet.link.type": "collected" } } as const;
}

/** A later attempt links to those that were before it. */
function followsLinks(rows: readonly JobRow[]) {
  const before = new Map(
    rows.flatMap(({ lastDispatch }) => (lastDispatch ? [[lastDispatch.spanId, lastDispatch]] : [])),
  );
  return Array.from(before.values(), (context) => ({ context, attributes: { "valet.link.type": "follows" } }) as const);
}
