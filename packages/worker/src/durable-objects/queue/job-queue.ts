/**
 * The queue: messages and workflows, the attempts to have them worked on, and the spans of all. Every method is one step that
 * the caller runs in a transaction; nothing here sends, waits or decides what is due (queue-rules.ts does).
 *
 * A message is queued, dispatched in an attempt, accepted by the runner, and done with exactly one outcome. An attempt that
 * was not accepted, or was lost, gives its messages back to the queue, up to {@link MAX_UNACCEPTED} and {@link MAX_LOST}. The
 * same goes for a workflow, but that one which was lost is tried again only where that is safe (workflow-rules.ts).
 */
import type { Failure } from "@valet/shared/protocol/failure";
import type { ToRunnerOf, TurnSummary } from "@valet/shared/protocol/runner-link";
import type { ErrorType, MessageSource, Outcome, QueueMode, QueueReason } from "@valet/shared/spans";
import type { SpanContext } from "@valet/shared/tracing";
import { newId } from "../core/ids.ts";
import type { SessionTracer } from "../core/session-tracer.ts";
import { type DispatchSettings, promptDispatch, workflowDispatch } from "../dispatch/dispatch-frames.ts";
import { afterLoss, failedSteps } from "../workflow/workflow-rules.ts";
import { Workflows } from "../workflow/workflows.ts";
import {
  type AttemptRow,
  type MessageBody,
  type MessageRow,
  MessageStore,
  type QueuedMessage,
  type QueueKind,
  type StopReason,
  type WorkflowBody,
} from "./job-store.ts";
import { type MessageOrigin, type NewAttempt, QueueSpans, type WorkError } from "./queue-spans.ts";

/** An attempt whose runner was lost is followed by one more. */
const MAX_LOST = 2;
/** Attempts that the runner never took: any more would not be taken either. */
const MAX_UNACCEPTED = 3;

interface NewEntry {
  readonly id: string;
  readonly channel: string;
  readonly sizeBytes: number;
  /** The request that brought it; without one its trace begins here. */
  readonly parent: SpanContext | undefined;
}

export interface NewMessage extends NewEntry {
  readonly mode: QueueMode;
  readonly source: MessageSource;
  readonly initial: boolean;
  /** When it may be dispatched: in the mode collect once no others are waited for. */
  readonly notBeforeMs: number;
  readonly body: MessageBody;
  readonly origin?: MessageOrigin | undefined;
}

export interface NewWorkflow extends NewEntry {
  readonly body: WorkflowBody;
}

/** What becomes a row; the rest of it is the same for all that is new. */
type EntryRow = Pick<
  MessageRow,
  "id" | "kind" | "channel" | "mode" | "source" | "initial" | "sizeBytes" | "attachments" | "notBeforeMs" | "asksFor"
>;

export interface AttemptEnd {
  readonly outcome: Outcome;
  readonly errorType?: ErrorType | undefined;
  /** What the runner measured, if it came to the end. */
  /** What the runner has measured; `null` where it worked and nothing is known of it, absent where it has said nothing. */
  readonly summary?: TurnSummary | null | undefined;
  /** What else is known of why it failed. */
  readonly failure?: Failure | undefined;
}

/** Told of every message and workflow that changes, and of every attempt that is over, in the same transaction. */
export interface QueueListener {
  messageChanged(id: string): void;
  attemptEnded(attempt: AttemptRow, end: AttemptEnd): void;
}

export class PromptQueue {
  readonly store: MessageStore;
  readonly workflows: Workflows;
  readonly #spans: QueueSpans;
  readonly #now: () => number;
  readonly #listener: QueueListener;

  /** @param capacityPlace the session's place in the line for a sandbox, where it stands in it */
  constructor(
    sql: SqlStorage,
    tracer: SessionTracer,
    now: () => number,
    listener: QueueListener,
    capacityPlace: () => number | undefined,
  ) {
    this.store = new MessageStore(sql);
    this.workflows = new Workflows(sql, this.store, capacityPlace);
    this.#spans = new QueueSpans(tracer);
    this.#now = now;
    this.#listener = listener;
  }

  /** Takes a message. One whose id is there already is the same message: it is left as it is. */
  accept(message: NewMessage): { readonly row: MessageRow; readonly isNew: boolean } {
    const { id, channel, mode, source, initial, sizeBytes, notBeforeMs, body, parent } = message;
    const known = this.store.message(id);
    if (known !== undefined) return { row: known, isNew: false };
    const attachments = body.attachments.length;
    return this.#add(
      {
        id,
        kind: "message",
        channel,
        mode,
        source,
        initial,
        sizeBytes,
        attachments,
        notBeforeMs,
        asksFor: asksFor(body),
      },
      body,
      this.#spans.startMessage(message, body, parent),
    );
  }

  /** Takes a workflow, likewise. It waits its turn in its channel. */
  acceptWorkflow({ id, channel, sizeBytes, body, parent }: NewWorkflow): {
    readonly row: MessageRow;
    readonly isNew: boolean;
  } {
    const known = this.store.message(id);
    if (known !== undefined) return { row: known, isNew: false };
    const entry = { id, channel, sizeBytes, mode: "followup" } as const;
    return this.#add(
      { ...entry, kind: "workflow", source: "user", initial: false, attachments: 0, notBeforeMs: 0, asksFor: "" },
      body,
      this.#spans.startWorkflow(entry, body, parent),
    );
  }

  #add(entry: EntryRow, body: MessageBody | WorkflowBody, context: SpanContext) {
    const nowMs = this.#now();
    const row: MessageRow = {
      ...{ ...entry, seq: this.store.nextSeq(), status: "queued", acceptedMs: nowMs, waitingSinceMs: nowMs },
      ...{
        dispatchedMs: null,
        endedMs: null,
        reason: null,
        reasons: [],
        outcome: null,
        errorType: null,
        failure: null,
      },
      ...{ promptContext: context, waitedOn: null, attemptId: null, attempts: 0, lost: 0, unaccepted: 0 },
      waitContext: this.#spans.startWait(entry, context, this.store.queuedCount()),
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
   * @param place of the session in the line for a sandbox, where it stands in it
   */
  waitFor(
    message: QueuedMessage,
    reason: QueueReason,
    on: SpanContext | undefined,
    isNext: boolean,
    place?: number,
  ): void {
    const isLinked = on === undefined || message.waitedOn === on.spanId;
    if (message.reason === reason && (isLinked || !isNext)) return;
    const { id, reasons, waitContext } = this.store.message(message.id) as MessageRow;
    const isNew = message.reason !== reason;
    this.#spans.noteWait(waitContext, isNew ? reason : undefined, isLinked ? undefined : on, place);
    const waitedOn = on?.spanId ?? message.waitedOn;
    this.store.updateMessage(id, { reason, reasons: isNew ? [...reasons, reason] : reasons, waitedOn });
  }

  /** The session has another place in the line for a sandbox, for which the message waits. */
  placed(id: string, place: number): void {
    const row = this.store.message(id);
    if (row === undefined) return;
    this.#spans.notePlace(row.waitContext, place);
    this.#listener.messageChanged(id);
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
   * @param ids what is queued, of one channel: a workflow, a message, or several that are a collected batch
   * @returns what to send
   */
  dispatch(ids: readonly string[], settings: DispatchSettings): ToRunnerOf<"prompt"> | ToRunnerOf<"workflow-execute"> {
    const rows = ids.map((id) => this.store.message(id)) as [MessageRow, ...MessageRow[]];
    const [head] = rows;
    const nowMs = this.#now();
    const attempt: NewAttempt = {
      id: newId("att"),
      number: Math.max(...rows.map(({ attempts }) => attempts)) + 1,
      waitMs: Math.max(...rows.map(({ waitingSinceMs }) => nowMs - waitingSinceMs), 0),
      reason: head.reason ?? "immediate",
      nowMs,
    };
    for (const row of rows) this.#spans.endWait(row, nowMs, "ok");
    if (head.kind === "workflow") {
      const body = this.workflows.body(head.id);
      const firstStep = this.workflows.begin(head.id);
      const context = this.#spans.startWorkflowDispatch(attempt, head, body);
      this.#addAttempt(attempt, rows, settings.generation, context);
      return {
        type: "workflow-execute",
        dispatch: workflowDispatch(attempt, head, body, firstStep, settings, context),
      };
    }
    const bodies = ids.map((id) => this.store.body(id) as MessageBody);
    const context = this.#spans.startPromptDispatch(attempt, rows, bodies.at(-1)?.threadId);
    this.#addAttempt(attempt, rows, settings.generation, context);
    return { type: "prompt", dispatch: promptDispatch(attempt, rows, bodies, settings, context) };
  }

  #addAttempt(
    { id, number, waitMs, reason, nowMs }: NewAttempt,
    rows: readonly [MessageRow, ...MessageRow[]],
    generation: number,
    context: SpanContext,
  ): void {
    for (const row of rows) {
      this.store.updateMessage(row.id, {
        ...{ status: "dispatched", attemptId: id, attempts: row.attempts + 1, dispatchedMs: nowMs },
        ...{ reason, reasons: row.reasons.length === 0 ? [reason] : row.reasons, lastDispatch: context },
      });
      this.#listener.messageChanged(row.id);
    }
    this.store.addAttempt({
      ...{ id, number, generation, channel: rows[0].channel, state: "dispatched", context, dispatchedMs: nowMs },
      ...{ messageIds: rows.map((row) => row.id), acceptedMs: null, endedMs: null, waitMs, stop: null, progress: null },
    });
  }

  /** The runner has the attempt. @returns false if that changes nothing: it is known, or over */
  accepted(attemptId: string): boolean {
    const attempt = this.store.attempt(attemptId);
    if (attempt?.state !== "dispatched") return false;
    this.store.updateAttempt(attemptId, { state: "accepted", acceptedMs: this.#now() });
    this.#spans.endDispatch(this.kindOf(attempt), attempt.context, "ok");
    for (const id of attempt.messageIds) {
      this.store.updateMessage(id, { status: "accepted" });
      this.#listener.messageChanged(id);
    }
    return true;
  }

  /**
   * The runner never took the attempt: its messages are queued again, those that were not taken too often fail.
   * @param pauseMs before the next attempt; it doubles
   * @param mayHaveBegun whether the runner may be about to take it all the same: no command may be begun twice
   */
  takeBack(attemptId: string, errorType: "send_failed" | "not_accepted", pauseMs: number, mayHaveBegun = false): void {
    const attempt = this.#endAttempt(attemptId, { outcome: "error", errorType });
    if (attempt === undefined) return;
    for (const row of this.#messagesOf(attempt)) {
      const notBeforeMs = this.#now() + pauseMs * 2 ** row.unaccepted;
      this.store.updateMessage(row.id, { unaccepted: row.unaccepted + 1, notBeforeMs });
      const isOver = mayHaveBegun && this.#afterLoss(row, false) !== "again";
      this.#again(row, attempt, !isOver && row.unaccepted + 1 < MAX_UNACCEPTED ? undefined : errorType);
    }
  }

  /** The runner cannot make sense of the work: no other attempt would fare better. */
  refuse(attemptId: string, errorType: "workflow_invalid"): void {
    const attempt = this.#endAttempt(attemptId, { outcome: "error", errorType });
    if (attempt === undefined) return;
    for (const row of this.#messagesOf(attempt)) this.#done(row, "error", errorType);
  }

  /** The link to the runner that works on it broke, or is back. */
  addEvent(id: string, event: "valet.runner.disconnected" | "valet.runner.reconnected"): void {
    const row = this.store.message(id);
    if (row !== undefined) this.#spans.addEvent(row, event);
  }

  /**
   * Whoever worked on the attempt is gone. Its messages are tried once more, then they fail; a workflow may have come to its
   * end.
   * @param isSandboxGone whether the files went, too
   * @param lostMs when it was last heard, epoch ms: there the attempt has ended, and the next wait begins
   */
  lose(attemptId: string, isSandboxGone: boolean, lostMs: number, summary?: TurnSummary | null): void {
    // What ended was begun, also where that was not heard of.
    if (summary !== undefined) this.accepted(attemptId);
    // A runner that takes another's place knows less of its work than the other had said.
    const known = this.store.attempt(attemptId)?.progress ?? summary;
    const attempt = this.#endAttempt(attemptId, { outcome: "lost", errorType: "runner_lost", summary: known }, lostMs);
    if (attempt === undefined) return;
    for (const row of this.#messagesOf(attempt)) {
      this.store.updateMessage(row.id, { lost: row.lost + 1 });
      const after = this.#afterLoss(row, isSandboxGone);
      if (after === "done") {
        const { outcome, errorType, failure } = this.workflows.outcome(row.id);
        this.#done(row, outcome, errorType, undefined, failure);
      } else {
        const failure = after === "again" && row.lost + 1 < MAX_LOST ? undefined : "runner_lost";
        this.#again(row, attempt, failure, "runner_disconnected");
      }
    }
  }

  /**
   * The runner is gone, and with it all that was worked on there.
   * @param isSandboxGone whether its files are gone, too: then also for workflows that waited to go on in it
   */
  loseAll(isSandboxGone: boolean, lostMs: number): void {
    for (const { id } of this.inFlight()) this.lose(id, isSandboxGone, lostMs);
    if (!isSandboxGone) return;
    for (const { id, kind } of this.waiting()) {
      const row = kind === "workflow" ? this.store.message(id) : undefined;
      const isOver = row !== undefined && row.lost > 0 && this.#afterLoss(row, true) === "over";
      if (isOver) this.endQueued(id, "error", "runner_lost");
    }
  }

  #afterLoss({ id, kind }: MessageRow, isSandboxGone: boolean): ReturnType<typeof afterLoss> {
    if (kind === "message") return "again";
    return afterLoss(this.workflows.body(id), this.workflows.states(id), isSandboxGone);
  }

  /** Notes what an attempt has come to so far. */
  noteProgress(attemptId: string, progress: TurnSummary): void {
    const attempt = this.store.attempt(attemptId);
    if (attempt !== undefined && attempt.state !== "ended") this.store.updateAttempt(attemptId, { progress });
  }

  /** Asks for the end of an attempt; it ends when the runner says so, or without it. @returns false if it is being stopped or over */
  stop(attemptId: string, reason: StopReason, cause: SpanContext | undefined): boolean {
    const attempt = this.store.attempt(attemptId);
    if (attempt === undefined || attempt.state === "ended" || attempt.stop !== null) return false;
    this.store.updateAttempt(attemptId, { stop: { reason, cause: cause ?? null } });
    return true;
  }

  /** The work is over, and with it the messages, or the workflow. @returns false if it was over before */
  end(
    attemptId: string,
    outcome: "ok" | "error" | "aborted",
    errorType: WorkError | undefined,
    summary?: TurnSummary | null,
    failure?: Failure,
  ): boolean {
    const stop = this.store.attempt(attemptId)?.stop ?? null;
    const final = outcome === "aborted" && stop !== null ? stopped(stop.reason) : { outcome, errorType };
    // A turn can end before its acceptance was heard of: then it was accepted all the same. What ends without the runner was not.
    if (summary !== undefined) this.accepted(attemptId);
    const attempt = this.#endAttempt(attemptId, { ...final, summary, failure });
    if (attempt === undefined) return false;
    for (const row of this.#messagesOf(attempt))
      this.#done(row, final.outcome, final.errorType, stop?.cause ?? undefined, failure);
    return true;
  }

  /** Ends what is queued. @returns false if it is not */
  endQueued(id: string, outcome: Outcome, errorType: WorkError, cause?: SpanContext, failure?: Failure): boolean {
    const row = this.store.message(id);
    if (row?.status !== "queued") return false;
    this.#spans.endWait(row, this.#now(), outcome, errorType, failure);
    this.#done(row, outcome, errorType, cause, failure);
    return true;
  }

  /** What an attempt is at. */
  kindOf({ messageIds }: AttemptRow): QueueKind {
    return this.store.message(messageIds[0] ?? "")?.kind ?? "message";
  }

  /** @param reason what the message waits for from the attempt's end on, where that is known */
  #again(row: MessageRow, attempt: AttemptRow, failure: WorkError | undefined, reason?: QueueReason): void {
    if (attempt.stop !== null) {
      const { outcome, errorType } = stopped(attempt.stop.reason);
      this.#done(row, outcome, errorType, attempt.stop.cause ?? undefined);
    } else if (failure !== undefined) {
      this.#done(row, "error", failure);
    } else {
      const sinceMs = attempt.endedMs ?? this.#now();
      this.store.updateMessage(row.id, {
        ...{ status: "queued", waitingSinceMs: sinceMs, reason: reason ?? null, waitedOn: null },
        ...(reason !== undefined && { reasons: [...row.reasons, reason] }),
        waitContext: this.#spans.startWaitAgain(row, row.promptContext, sinceMs, reason),
      });
      this.#listener.messageChanged(row.id);
    }
  }

  /** @param atMs when it ended, epoch ms: now unless given, and not before it began */
  #endAttempt(attemptId: string, end: AttemptEnd, atMs = this.#now()): AttemptRow | undefined {
    const attempt = this.store.attempt(attemptId);
    if (attempt === undefined || attempt.state === "ended") return undefined;
    const endedMs = Math.max(Math.min(atMs, this.#now()), attempt.acceptedMs ?? attempt.dispatchedMs);
    const ended = { ...attempt, state: "ended", endedMs } as const;
    this.store.updateAttempt(attemptId, { state: "ended", endedMs });
    this.#spans.endDispatch(this.kindOf(attempt), attempt.context, end.outcome, end.errorType, endedMs);
    this.#listener.attemptEnded(ended, { ...end, summary: end.summary ?? attempt.progress ?? undefined });
    return ended;
  }

  /** Those that are still this attempt's. */
  #messagesOf(attempt: AttemptRow): MessageRow[] {
    const rows = attempt.messageIds.map((id) => this.store.message(id));
    return rows.filter(
      (row) => row !== undefined && row.attemptId === attempt.id && row.status !== "done",
    ) as MessageRow[];
  }

  #done(
    row: MessageRow,
    outcome: Outcome,
    errorType: WorkError | undefined,
    cause?: SpanContext,
    failure: Failure | null = null,
  ): void {
    this.store.updateMessage(row.id, {
      ...{ status: "done", endedMs: this.#now(), outcome, errorType: errorType ?? null, failure },
    });
    if (row.kind === "message") {
      this.#spans.endMessage(row, outcome, errorType, cause, failure);
    } else {
      this.workflows.end(row.id, outcome, errorType);
      const failed = failedSteps(this.workflows.states(row.id));
      this.#spans.endWorkflow(row, outcome, errorType, cause, failure, failed);
    }
    this.#listener.messageChanged(row.id);
  }
}

/** Messages that ask for the same models ask for the same text. */
function asksFor({ model, models }: MessageBody): string {
  return model === undefined && models === undefined ? "" : JSON.stringify([model ?? null, models ?? null]);
}

function stopped(reason: StopReason): { readonly outcome: Outcome; readonly errorType: StopReason } {
  return { outcome: reason === "steered" ? "superseded" : "aborted", errorType: reason };
}
