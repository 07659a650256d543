/**
 * The spans of the queue: of each job, of its waits and of its dispatches. job-queue.ts and job-transitions.ts begin and end them in the transaction of
 * the rows that they describe.
 */

import { endWith } from "@valet/shared/outcome";
import type { Failure } from "@valet/shared/protocol/failure";
import type { EndedBy, EndReason, ErrorType, Outcome, QueueReason } from "@valet/shared/spans";
import { type SpanContext, SpanKind } from "@valet/shared/tracing";
import type { Asker } from "../core/asker.ts";
import type { SessionTracer } from "../core/session-tracer.ts";
import type { JobKind, JobRow, MessageBody, WorkflowBody } from "./job-store.ts";
import { MODES } from "./queue-rules.ts";

/** The reasons with which a job may end. */
export type WorkError = EndedBy<"message" | "workflow"> | "_OTHER";

/** The other session of the family that sent a system message. */
export interface MessageOrigin {
  readonly link: "caused_by" | "spawned_by";
  /** The span in that session's traces to link to. */
  readonly context: SpanContext | undefined;
  readonly parentSessionId?: string;
  readonly childSessionId?: string;
}

type Waiting = Pick<JobRow, "id" | "kind" | "channel" | "mode"> & { readonly userId?: string | null | undefined };

export interface NewJob {
  /** For whom it runs; the session's user by default. */
  readonly userId?: string | undefined;
  /** The model that is tried first, as `provider/model`. */
  readonly model?: string | undefined;
}

/** A new attempt, and how long its jobs waited. */
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
    message: Pick<JobRow, "id" | "source" | "channel" | "mode"> &
      NewJob & { readonly origin?: MessageOrigin | undefined },
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
        "user.id": message.userId,
        "gen_ai.request.model": message.model,
        "valet.channel.id": message.channel,
        "valet.thread.id": body.threadId,
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
    workflow: Pick<JobRow, "id" | "channel" | "mode"> & NewJob,
    { name, steps, onFailure }: WorkflowBody,
    parent: SpanContext | undefined,
  ): SpanContext {
    const span = this.#tracer.start("valet.workflow", {
      parent,
      attributes: {
        "user.id": workflow.userId,
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.request.model": workflow.model,
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

  /** @param sinceMs when the wait began, epoch ms; now by default */
  startWait(
    { id, kind, channel, mode, userId }: Waiting,
    parent: SpanContext,
    position?: number,
    sinceMs?: number,
  ): SpanContext {
    const span = this.#tracer.start("valet.queue.wait", {
      parent,
      ...(sinceMs !== undefined && { startTime: sinceMs }),
      attributes: {
        ...(kind === "message" ? { "valet.message.id": id } : { "valet.workflow.execution.id": id }),
        "user.id": userId ?? undefined,
        "valet.channel.id": channel,
        "valet.queue.mode": mode,
        "valet.queue.position": position,
      },
    });
    return span.context;
  }

  /** Begins the wait after an attempt. @param sinceMs when that ended, epoch ms @param reason what the job waits for */
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
   * Records a change of what the job waits for.
   * @param reason what the job waits for from now on, if that has changed
   * @param on the span to link to, if that has changed
   * @param place the session's place in the line for a sandbox, if it is in that line
   */
  updateWait(
    waitContext: SpanContext,
    reason: QueueReason | undefined,
    on: SpanContext | undefined,
    place: number | undefined,
  ): void {
    this.#tracer.change("valet.queue.wait", waitContext, (span) => {
      if (reason !== undefined) {
        // During the wait this is the current reason; afterwards it is the last one.
        span.setAttribute("valet.queue.reason", reason);
        span.addEvent("valet.queue.reason", { "valet.queue.reason": reason, "valet.capacity.place": place });
      }
      if (on !== undefined) span.addLink({ context: on, attributes: { "valet.link.type": "waited_on" } });
    });
  }

  /** Records the session's new place in the line for a sandbox. */
  recordPlace(waitContext: SpanContext, place: number): void {
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
    const isCollected = MODES[head.mode].isCollected;
    const span = this.#tracer.start("valet.prompt.dispatch", {
      kind: SpanKind.PRODUCER,
      parent: rows.length === 1 ? head.context : undefined,
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
      parent: row.context,
      attributes: {
        ...dispatchAttributes(attempt, row),
        "valet.workflow.execution.id": row.id,
        "valet.workflow.name": name,
      },
      links: followsLinks([row]),
    });
    return span.context;
  }

  /** @param endMs when it ended, epoch ms; now by default */
  endDispatch(kind: JobKind, context: SpanContext, outcome: Outcome, errorType?: ErrorType, endMs?: number): void {
    this.#tracer.change(DISPATCH[kind], context, (span) => {
      if (errorType === "send_failed") span.setAttribute("valet.dispatch.sent", false);
      endWith(span, outcome, errorType as EndReason<"valet.workflow.dispatch"> | undefined, endMs);
    });
  }

  endMessage(row: JobRow, outcome: Outcome, errorType?: WorkError, asker: Asker = {}, failure?: Failure | null): void {
    this.#tracer.change("valet.prompt", row.context, (span) => {
      span.setAttributes({
        "valet.dispatch.attempt": row.attempts > 0 ? row.attempts : undefined,
        "valet.error.cause": failure?.cause,
        "valet.aborted_by": asker.userId,
        ...startAttributes(failure),
      });
      if (asker.context !== undefined) span.addLink(causedBy(asker.context));
      endWith(span, outcome, errorType as EndReason<"valet.prompt"> | undefined);
    });
  }

  /** @param failed how many of its steps failed */
  endWorkflow(
    row: JobRow,
    outcome: Outcome,
    errorType?: WorkError,
    asker: Asker = {},
    failure?: Failure | null,
    failed?: number,
  ): void {
    this.#tracer.change("valet.workflow", row.context, (span) => {
      span.setAttributes({
        "valet.dispatch.attempt": row.attempts > 0 ? row.attempts : undefined,
        "valet.workflow.failed_step_count": row.attempts > 0 ? failed : undefined,
        "valet.error.cause": failure?.cause,
        "valet.aborted_by": asker.userId,
        ...startAttributes(failure),
      });
      if (asker.context !== undefined) span.addLink(causedBy(asker.context));
      endWith(span, outcome, errorType as EndReason<"valet.workflow"> | undefined);
    });
  }

  /** Adds an event: the link to the job's runner broke, or is back. */
  addEvent({ kind, context }: JobRow, event: "valet.runner.disconnected" | "valet.runner.reconnected"): void {
    this.#tracer.change(OPERATION[kind], context, (span) => span.addEvent(event));
  }
}

function dispatchAttributes({ id, number, waitMs, reason }: NewAttempt, { mode, channel, userId }: JobRow) {
  return {
    "user.id": userId ?? undefined,
    "valet.dispatch.attempt_id": id,
    "valet.dispatch.attempt": number,
    "valet.dispatch.sent": true,
    "valet.queue.wait_ms": waitMs,
    "valet.queue.reason": reason,
    "valet.queue.mode": mode,
    "valet.channel.id": channel,
  } as const;
}

/** Returns what is known about the failed starts of a sandbox. */
function startAttributes(failure: Failure | null | undefined) {
  return { "valet.sandbox.stage": failure?.stage, "valet.start.attempt_count": failure?.attempts } as const;
}

/** Returns a link to the span that ended a job early. */
function causedBy(context: SpanContext) {
  return { context, attributes: { "valet.link.type": "caused_by" } } as const;
}

function collectedLink({ context }: JobRow) {
  return { context, attributes: { "valet.link.type": "collected" } } as const;
}

/** Returns the links of an attempt to those before it. */
function followsLinks(rows: readonly JobRow[]) {
  const before = new Map(
    rows.flatMap(({ lastDispatch }) => (lastDispatch ? [[lastDispatch.spanId, lastDispatch]] : [])),
  );
  return Array.from(before.values(), (context) => ({ context, attributes: { "valet.link.type": "follows" } }) as const);
}
