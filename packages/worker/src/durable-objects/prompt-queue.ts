/**
 * The queue: messages, the attempts to have them worked on, and the spans of both. Every method is one step that the caller
 * runs in a transaction; nothing here sends, waits or decides what is due (queue-rules.ts does).
 *
 * A message is queued, dispatched in an attempt, accepted by the runner, and done with exactly one outcome. An attempt that
 * was not accepted, or was lost, gives its messages back to the queue, up to {@link MAX_UNACCEPTED} and {@link MAX_LOST}.
 */
import type { PromptDispatch, TurnSummary } from "@valet/shared/protocol/runner-link";
import type { ErrorType, MessageSource, Outcome, QueueMode, QueueReason, SpanAttributes } from "@valet/shared/spans";
import { contextHeaders, type SpanContext, SpanKind } from "@valet/shared/tracing";
import { newId } from "./ids.ts";
import {
  type AttemptRow,
  type MessageBody,
  type MessageRow,
  MessageStore,
  type QueuedMessage,
  type StopReason,
} from "./message-store.ts";
import { endWith, type SessionTracer } from "./session-tracer.ts";

/** An attempt whose runner was lost is followed by one more. */
const MAX_LOST = 2;
/** Attempts that the runner never took: any more would not be taken either. */
const MAX_UNACCEPTED = 3;

export type PromptError = NonNullable<SpanAttributes<"valet.prompt">["error.type"]>;

export interface NewMessage {
  readonly id: string;
  readonly channel: string;
  readonly mode: QueueMode;
  readonly source: MessageSource;
  readonly initial: boolean;
  readonly sizeBytes: number;
  /** When it may be dispatched: in the mode collect once no others are waited for. */
  readonly notBeforeMs: number;
  readonly body: MessageBody;
  /** The request that brought it; without one its trace begins here. */
  readonly parent: SpanContext | undefined;
}

/** What the runner needs besides the message. */
export interface DispatchSettings {
  readonly generation: number;
  readonly model: string | undefined;
  readonly models: readonly string[];
  readonly opencodeSessionId: string | undefined;
  readonly continuationContext: string | undefined;
}

export interface AttemptEnd {
  readonly outcome: Outcome;
  readonly errorType?: ErrorType | undefined;
  /** What the runner measured, if it came to the end. */
  readonly summary?: TurnSummary | undefined;
}

/** Told of every message that is done, and of every attempt that is over, in the same transaction. */
export interface QueueListener {
  messageChanged(id: string): void;
  attemptEnded(attempt: AttemptRow, end: AttemptEnd): void;
}

export class PromptQueue {
  readonly store: MessageStore;
  readonly #tracer: SessionTracer;
  readonly #now: () => number;
  readonly #listener: QueueListener;

  constructor(sql: SqlStorage, tracer: SessionTracer, now: () => number, listener: QueueListener) {
    this.store = new MessageStore(sql);
    this.#tracer = tracer;
    this.#now = now;
    this.#listener = listener;
  }

  /** Takes a message. One whose id is there already is the same message: it is left as it is. */
  accept(message: NewMessage): { readonly row: MessageRow; readonly isNew: boolean } {
    const known = this.store.message(message.id);
    if (known !== undefined) return { row: known, isNew: false };
    const nowMs = this.#now();
    const { body } = message;
    const prompt = this.#tracer.start("valet.prompt", {
      parent: message.parent,
      attributes: {
        "valet.message.id": message.id,
        "valet.message.source": message.source,
        "valet.message.content_length": body.content.length,
        "valet.message.attachment_count": body.attachments.length,
        "valet.queue.mode": message.mode,
        "gen_ai.request.model": body.model,
        "valet.channel.id": message.channel,
        "valet.thread.id": body.threadId,
      },
    });
    const row: MessageRow = {
      ...{ id: message.id, seq: this.store.nextSeq(), channel: message.channel, mode: message.mode },
      ...{ source: message.source, initial: message.initial, status: "queued", sizeBytes: message.sizeBytes },
      ...{ attachments: body.attachments.length, notBeforeMs: message.notBeforeMs, acceptedMs: nowMs },
      ...{ waitingSinceMs: nowMs, dispatchedMs: null, endedMs: null, reason: null, reasons: [], outcome: null },
      ...{ errorType: null, promptContext: prompt.context, waitedOn: null, attemptId: null, attempts: 0, lost: 0 },
      waitContext: this.#startWait(message, prompt.context, this.store.queuedCount()),
      unaccepted: 0,
      lastDispatch: null,
    };
    this.store.addMessage(row, body);
    this.#listener.messageChanged(row.id);
    return { row, isNew: true };
  }

  waiting(): readonly QueuedMessage[] {
    return this.store.queued();
  }

  inFlight(): AttemptRow[] {
    return this.store.inFlight();
  }

  /**
   * Notes what a message waits for, and links its wait to that.
   * @param on a turn, spawn, restore or hibernate; none while a batch is open
   * @param isNext whether to link also where only `on` is another than before
   */
  waitFor(message: QueuedMessage, reason: QueueReason, on: SpanContext | undefined, isNext: boolean): void {
    const isLinked = on === undefined || message.waitedOn === on.spanId;
    if (message.reason === reason && (isLinked || !isNext)) return;
    const { id, reasons, waitContext } = this.store.message(message.id) as MessageRow;
    const isNew = message.reason !== reason;
    this.#tracer.change("valet.queue.wait", waitContext, (span) => {
      if (isNew) span.addEvent("valet.queue.reason", { "valet.queue.reason": reason });
      if (!isLinked) span.addLink({ context: on, attributes: { "valet.link.type": "waited_on" } });
    });
    const waitedOn = on?.spanId ?? message.waitedOn;
    this.store.updateMessage(id, { reason, reasons: isNew ? [...reasons, reason] : reasons, waitedOn });
  }

  /** Ends the waiting for others in every open batch. */
  closeBatches(): void {
    const nowMs = this.#now();
    for (const row of this.store.queued()) {
      if (row.mode === "collect" && row.notBeforeMs > nowMs) this.store.updateMessage(row.id, { notBeforeMs: nowMs });
    }
  }

  /**
   * Begins an attempt: from here on its messages count as dispatched, sent or not.
   * @param ids messages that are queued, of one channel; several are a collected batch
   * @returns what to send
   */
  dispatch(ids: readonly string[], settings: DispatchSettings): PromptDispatch {
    const rows = ids.map((id) => this.store.message(id) as MessageRow);
    const bodies = ids.map((id) => this.store.body(id) as MessageBody);
    const head = rows[0] as MessageRow;
    const last = bodies.at(-1) as MessageBody;
    const nowMs = this.#now();
    const waitMs = Math.max(...rows.map(({ waitingSinceMs }) => nowMs - waitingSinceMs), 0);
    const reason = head.reason ?? "immediate";
    const attemptId = newId("att");
    const number = Math.max(...rows.map(({ attempts }) => attempts)) + 1;
    const isCollected = head.mode === "collect";
    for (const row of rows) this.#endWait(row, "ok");
    const span = this.#tracer.start("valet.prompt.dispatch", {
      kind: SpanKind.PRODUCER,
      parent: rows.length === 1 ? head.promptContext : undefined,
      attributes: {
        "valet.dispatch.attempt_id": attemptId,
        "valet.dispatch.attempt": number,
        "valet.dispatch.sent": true,
        "valet.queue.wait_ms": waitMs,
        "valet.queue.reason": reason,
        "valet.queue.mode": head.mode,
        "valet.message.id": head.id,
        "valet.channel.id": head.channel,
        "valet.thread.id": last.threadId,
        "valet.collect.message_count": isCollected ? rows.length : undefined,
        "valet.collect.buffer_ms": isCollected ? nowMs - head.acceptedMs : undefined,
        "valet.collect.message_ids": isCollected ? ids : undefined,
      },
      links: dispatchLinks(rows),
    });
    for (const row of rows) {
      this.store.updateMessage(row.id, {
        ...{ status: "dispatched", attemptId, attempts: row.attempts + 1, dispatchedMs: nowMs },
        ...{ reason, reasons: row.reasons.length === 0 ? [reason] : row.reasons, lastDispatch: span.context },
      });
      this.#listener.messageChanged(row.id);
    }
    this.store.addAttempt({
      ...{ id: attemptId, number, generation: settings.generation, channel: head.channel, state: "dispatched" },
      ...{
        messageIds: ids,
        context: span.context,
        dispatchedMs: nowMs,
        acceptedMs: null,
        endedMs: null,
        waitMs,
        stop: null,
      },
    });
    const authors = new Set(bodies.map(({ author }) => JSON.stringify(author)));
    const model = last.model ?? settings.model;
    return {
      ...{ attemptId, attempt: number, messageId: head.id, messageIds: [...ids], channel: head.channel },
      queue: { waitMs, reason, mode: head.mode, ...(isCollected && { collectBufferMs: nowMs - head.acceptedMs }) },
      content: bodies.map(({ content }) => content).join("\n\n"),
      attachments: bodies.flatMap(({ attachments }) => attachments),
      models: [...(last.models ?? settings.models)],
      ...(authors.size === 1 && last.author !== undefined && { author: last.author }),
      ...(model !== undefined && { model }),
      ...(last.threadId !== undefined && { threadId: last.threadId }),
      ...(last.replyChannel !== undefined && { replyChannel: last.replyChannel }),
      ...(settings.opencodeSessionId !== undefined && { opencodeSessionId: settings.opencodeSessionId }),
      ...(settings.continuationContext !== undefined && { continuationContext: settings.continuationContext }),
      ...contextHeaders(span.context),
    };
  }

  /** The runner has the attempt. @returns false if that changes nothing: it is known, or over */
  accepted(attemptId: string): boolean {
    const attempt = this.store.attempt(attemptId);
    if (attempt?.state !== "dispatched") return false;
    this.store.updateAttempt(attemptId, { state: "accepted", acceptedMs: this.#now() });
    this.#tracer.change("valet.prompt.dispatch", attempt.context, (span) => endWith(span, "ok"));
    for (const id of attempt.messageIds) {
      this.store.updateMessage(id, { status: "accepted" });
      this.#listener.messageChanged(id);
    }
    return true;
  }

  /**
   * The runner never took the attempt: its messages are queued again, those that were not taken too often fail.
   * @param pauseMs before the next attempt; it doubles
   */
  takeBack(attemptId: string, errorType: "send_failed" | "not_accepted", pauseMs: number): void {
    const attempt = this.#endAttempt(attemptId, { outcome: "error", errorType });
    if (attempt === undefined) return;
    for (const row of this.#messagesOf(attempt)) {
      const notBeforeMs = this.#now() + pauseMs * 2 ** row.unaccepted;
      this.store.updateMessage(row.id, { unaccepted: row.unaccepted + 1, notBeforeMs });
      this.#again(row, attempt, row.unaccepted + 1 < MAX_UNACCEPTED ? undefined : errorType);
    }
  }

  /** Whoever worked on the attempt is gone. Its messages are tried once more, then they fail. */
  lose(attemptId: string, summary?: TurnSummary): void {
    // What ended was begun, also where that was not heard of.
    if (summary !== undefined) this.accepted(attemptId);
    const attempt = this.#endAttempt(attemptId, { outcome: "lost", errorType: "runner_lost", summary });
    if (attempt === undefined) return;
    for (const row of this.#messagesOf(attempt)) {
      this.store.updateMessage(row.id, { lost: row.lost + 1 });
      this.#again(row, attempt, row.lost + 1 < MAX_LOST ? undefined : "runner_lost");
    }
  }

  /** Asks for the end of an attempt; it ends when the runner says so, or without it. @returns false if it is being stopped or over */
  stop(attemptId: string, reason: StopReason, cause: SpanContext | undefined): boolean {
    const attempt = this.store.attempt(attemptId);
    if (attempt === undefined || attempt.state === "ended" || attempt.stop !== null) return false;
    this.store.updateAttempt(attemptId, { stop: { reason, cause: cause ?? null } });
    return true;
  }

  /** The turn is over, and with it the messages. @returns false if it was over before */
  end(
    attemptId: string,
    outcome: "ok" | "error" | "aborted",
    errorType: PromptError | undefined,
    summary?: TurnSummary,
  ): boolean {
    const stop = this.store.attempt(attemptId)?.stop ?? null;
    const final = outcome === "aborted" && stop !== null ? stopped(stop.reason) : { outcome, errorType };
    // A turn can end before its acceptance was heard of: then it was accepted all the same.
    this.accepted(attemptId);
    const attempt = this.#endAttempt(attemptId, { ...final, summary });
    if (attempt === undefined) return false;
    for (const row of this.#messagesOf(attempt))
      this.#done(row, final.outcome, final.errorType, stop?.cause ?? undefined);
    return true;
  }

  /** Ends a message that is queued. @returns false if it is not */
  endQueued(id: string, outcome: Outcome, errorType: PromptError, cause?: SpanContext): boolean {
    const row = this.store.message(id);
    if (row?.status !== "queued") return false;
    this.#endWait(row, outcome, errorType);
    this.#done(row, outcome, errorType, cause);
    return true;
  }

  #again(row: MessageRow, attempt: AttemptRow, failure: PromptError | undefined): void {
    if (attempt.stop !== null) {
      const { outcome, errorType } = stopped(attempt.stop.reason);
      this.#done(row, outcome, errorType, attempt.stop.cause ?? undefined);
    } else if (failure !== undefined) {
      this.#done(row, "error", failure);
    } else {
      this.store.updateMessage(row.id, {
        ...{ status: "queued", waitingSinceMs: this.#now(), reason: null, waitedOn: null },
        waitContext: this.#startWait(row, row.promptContext),
      });
      this.#listener.messageChanged(row.id);
    }
  }

  #endAttempt(attemptId: string, end: AttemptEnd): AttemptRow | undefined {
    const attempt = this.store.attempt(attemptId);
    if (attempt === undefined || attempt.state === "ended") return undefined;
    const ended = { ...attempt, state: "ended", endedMs: this.#now() } as const;
    this.store.updateAttempt(attemptId, { state: "ended", endedMs: ended.endedMs });
    this.#tracer.change("valet.prompt.dispatch", attempt.context, (span) => {
      if (end.errorType === "send_failed") span.setAttribute("valet.dispatch.sent", false);
      endWith(span, end.outcome, end.errorType as SpanAttributes<"valet.prompt.dispatch">["error.type"]);
    });
    this.#listener.attemptEnded(ended, end);
    return ended;
  }

  /** Those that are still this attempt's. */
  #messagesOf(attempt: AttemptRow): MessageRow[] {
    const rows = attempt.messageIds.map((id) => this.store.message(id));
    return rows.filter(
      (row) => row !== undefined && row.attemptId === attempt.id && row.status !== "done",
    ) as MessageRow[];
  }

  #startWait(
    message: Pick<MessageRow, "id" | "channel" | "mode">,
    parent: SpanContext,
    position?: number,
  ): SpanContext {
    const span = this.#tracer.start("valet.queue.wait", {
      parent,
      attributes: {
        "valet.message.id": message.id,
        "valet.channel.id": message.channel,
        "valet.queue.mode": message.mode,
        "valet.queue.position": position,
      },
    });
    return span.context;
  }

  #endWait(row: MessageRow, outcome: Outcome, errorType?: PromptError): void {
    this.#tracer.change("valet.queue.wait", row.waitContext, (span) => {
      span.setAttributes({
        "valet.queue.wait_ms": this.#now() - row.waitingSinceMs,
        "valet.queue.reason": row.reason ?? "immediate",
      });
      endWith(span, outcome, errorType as SpanAttributes<"valet.queue.wait">["error.type"]);
    });
  }

  #done(row: MessageRow, outcome: Outcome, errorType: PromptError | undefined, cause?: SpanContext): void {
    this.store.updateMessage(row.id, { status: "done", endedMs: this.#now(), outcome, errorType: errorType ?? null });
    this.#tracer.change("valet.prompt", row.promptContext, (span) => {
      span.setAttribute("valet.dispatch.attempt", row.attempts > 0 ? row.attempts : undefined);
      if (cause !== undefined) span.addLink({ context: cause, attributes: { "valet.link.type": "caused_by" } });
      endWith(span, outcome, errorType);
    });
    this.#listener.messageChanged(row.id);
  }
}

/** A batch links to each message; a later attempt to those that were before it. */
function dispatchLinks(rows: readonly MessageRow[]) {
  const collected = rows.length > 1 ? rows.map(({ promptContext }) => link(promptContext, "collected")) : [];
  const before = new Map(
    rows.flatMap(({ lastDispatch }) => (lastDispatch ? [[lastDispatch.spanId, lastDispatch]] : [])),
  );
  return [...collected, ...Array.from(before.values(), (context) => link(context, "follows"))];
}

function link<T extends string>(context: SpanContext, type: T) {
  return { context, attributes: { "valet.link.type": type } };
}

function stopped(reason: StopReason): { readonly outcome: Outcome; readonly errorType: PromptError } {
  return { outcome: reason === "steered" ? "superseded" : "aborted", errorType: reason };
}
