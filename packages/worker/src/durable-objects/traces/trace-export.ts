/**
 * Exports a session's segments to the backend. The log is the outbox: the export is a cursor over it, and each segment
 * is POSTed as stored. The cursor moves after a POST, so a crash repeats only the batch in flight, byte for byte.
 */
import { createHash } from "node:crypto";
import { gunzipSync, gzipSync } from "node:zlib";
import type { ExportProblemView } from "@valet/shared/protocol/session-view";
import { type Diagnostic, hostOf, OtlpExporter, type SendResult } from "@valet/shared/tracing";
import { isoTime } from "../core/iso-time.ts";
import type { ExportPosition } from "./certify.ts";
import { ExportLedger, type ExportRow } from "./export-ledger.ts";
import { type ExportState, type SentPart, settle, TRY_AGAIN } from "./export-rules.ts";
import { type Segment, type SegmentHead, unpack } from "./trace-segments.ts";
import type { TraceStore } from "./trace-store.ts";
import { partOfRequest } from "./trace-text.ts";

/** The export's diagnostics: the tracer's codes, with the session. */
export type ExportDiagnostic = Diagnostic & { readonly session: string };

export interface TraceExportOptions {
  readonly sessionId: string;
  /** The traces endpoint; without it nothing is exported. */
  readonly url: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** Segments are stored as gzip; `none` unpacks them for sending. */
  readonly compression: "gzip" | "none";
  /** The timeout of one POST. */
  readonly timeoutMs: number;
  readonly now: () => number;
  readonly onDiagnostic: (diagnostic: ExportDiagnostic) => void;
  readonly fetch?: typeof fetch;
}

/** Spans that do not reach the backend. Times are epoch milliseconds. */
export interface ExportProblem {
  /** Time of the first failed attempt, or since when the oldest waiting span could have been sent. */
  readonly sinceMs: number;
  /** Why the last attempt failed: a code, or `HTTP` and a status; `waiting` when none has failed. */
  readonly reason: string;
  /** The HTTP status of the backend's last answer, if that was a failure. */
  readonly status?: number;
  readonly waitingSpans: number;
  /** Whether the export has stopped by itself: it continues with the next span, or on `resend`. */
  readonly isStopped: boolean;
}

/** How long a segment waits for others to be sent in the same run: each run costs two alarms, which are row writes. */
const GATHER_MS = 100;
/** The alarm's delay for a POST without a timeout, after which an object that died during it is woken. */
const UNTIMED_MS = 60_000;
/** Spans that do not arrive for longer than this are a problem. */
const LATE_MS = 60_000;

export class TraceExport {
  readonly #ledger: ExportLedger;
  readonly #store: TraceStore;
  readonly #options: TraceExportOptions;
  readonly #exporter: OtlpExporter | undefined;
  #running: Promise<void> | undefined;

  constructor(sql: SqlStorage, store: TraceStore, options: TraceExportOptions) {
    this.#ledger = new ExportLedger(sql);
    this.#store = store;
    this.#options = options;
    const { url, headers, timeoutMs, fetch } = options;
    if (url === undefined) return;
    this.#exporter = new OtlpExporter({ url, headers, timeoutMs, fetch });
    const config = hashOf(url, headers);
    // The failures of another endpoint or key say nothing about this one.
    if (this.#ledger.read().config !== config) this.#ledger.write({ ...TRY_AGAIN, config });
  }

  /**
   * Returns when the export must run next, epoch ms; `undefined` when there is nothing to send. During a POST that is
   * its timeout, since only an alarm wakes an object that dies during it. Never 0, since an alarm at 0 never fires.
   */
  dueAtMs(): number | undefined {
    if (this.#exporter === undefined) return undefined;
    const { state, next } = this.#next();
    if (next === undefined || this.#isStopped(state)) return undefined;
    if (this.#running !== undefined) return this.#options.now() + (this.#options.timeoutMs || UNTIMED_MS);
    return Math.max(state.not_before_ms, next.closedMs + GATHER_MS);
  }

  /** Reads the state of the export again. Call it after a rollback. */
  reload(): void {
    this.#ledger.reload();
  }

  /** Returns whether a segment is settled. Without a backend all are. */
  isSettled(segmentId: number): boolean {
    return this.#exporter === undefined || segmentId <= this.#ledger.read().segment_id;
  }

  /**
   * Sends what is due, segment by segment, until nothing is left or the backend asks to wait. Never rejects. Pass the
   * promise to `waitUntil`, and set the timers again when it has settled.
   */
  start(): Promise<void> {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Returns how far the export has come; `undefined` without a backend. */
  position(): ExportPosition | undefined {
    if (this.#exporter === undefined) return undefined;
    const { state, sinceMs } = this.#standing();
    const reason = sinceMs === undefined || state.reason === "" ? null : state.reason;
    return { settledUpTo: state.segment_id, reason, isStopped: this.#isStopped(state) };
  }

  /** Whether a backend is configured. */
  get isConfigured(): boolean {
    return this.#exporter !== undefined;
  }

  /** The backend's host and port. */
  get host(): string {
    return hostOf(this.#options.url ?? "");
  }

  /** Makes the waiting spans due now, whatever has failed before, also after the export has stopped. */
  tryAgain(): void {
    const nothingWaits = this.#waitingSpans() === 0;
    this.#ledger.write({ ...TRY_AGAIN, ...(nothingWaits && { failing_since_ms: null, reason: "", status: null }) });
  }

  /** Returns the spans that do not arrive; also before they count as a {@link problem}. */
  shortfall(): ExportProblem | undefined {
    const { state, sinceMs } = this.#standing();
    if (sinceMs === undefined) return undefined;
    const { reason, status } = state;
    return {
      ...(status !== null && { status }),
      sinceMs,
      reason: reason === "" ? "waiting" : reason,
      waitingSpans: this.#waitingSpans(),
      isStopped: this.#isStopped(state),
    };
  }

  /** Returns the shortfall once it has lasted for over a minute. */
  problem(): ExportProblem | undefined {
    const { sinceMs } = this.#standing();
    return sinceMs !== undefined && this.#options.now() - sinceMs > LATE_MS ? this.shortfall() : undefined;
  }

  /** Returns when a problem will appear that is not shown yet, epoch ms. */
  problemDueAtMs(): number | undefined {
    const { state, sinceMs } = this.#standing();
    return sinceMs === undefined || state.shown !== 0 ? undefined : sinceMs + LATE_MS + 1;
  }

  /** Whether the problem has appeared, changed its reason, stopped the export or gone since {@link noteShown}. */
  get hasProblemChanged(): boolean {
    const { shown, shown_reason } = this.#ledger.read();
    const now = this.#toShow();
    return now.shown !== shown || now.shown_reason !== shown_reason;
  }

  /** Records that the session's view shows the problem, or that there is none. */
  noteShown(): void {
    this.#ledger.write(this.#toShow());
  }

  #toShow() {
    const problem = this.problem();
    return { shown: problem === undefined ? 0 : 1 + Number(problem.isStopped), shown_reason: problem?.reason ?? "" };
  }

  async #run(): Promise<void> {
    for (;;) {
      const state = this.#ledger.read();
      if (this.#exporter === undefined || state.not_before_ms > this.#options.now() || this.#isStopped(state)) return;
      const segment = this.#store.segments.nextSampled(state.segment_id);
      if (segment === undefined) return;
      const part = partOf(segment, state);
      const result = await this.#exporter.send(this.#bodyOf(part));
      this.#settle(part, result);
    }
  }

  #bodyOf({ body }: Segment): { body: Uint8Array<ArrayBuffer>; gzip: boolean } {
    if (this.#options.compression === "gzip") return { body, gzip: true };
    return { body: new Uint8Array(gunzipSync(body)), gzip: false };
  }

  /** Nothing is awaited in between, so its writes are atomic. */
  #settle(part: Segment & SentPart, result: SendResult): void {
    const newestSegment = this.#store.segments.newestId();
    // Changes during the POST are kept, for example a `resend`.
    const now = { nowMs: this.#options.now(), newestSegment, random: Math.random() };
    const { state, retryInMs, lost } = settle(this.#ledger.read(), part, result, now);
    this.#reportResult(part, result, retryInMs);
    const { drops } = this.#store;
    if (lost !== undefined) drops.leaving(lost, part);
    if (result.outcome === "delivered") {
      drops.rejected(result.rejectedSpans, part);
      if (result.isUnread || result.isUncounted) drops.doubtful(part);
    }
    this.#ledger.write(state);
  }

  #reportResult({ spans }: SentPart, result: SendResult, retryInMs: number | undefined): void {
    const { onDiagnostic, sessionId: session } = this.#options;
    if (result.outcome !== "delivered") {
      const { reason, status } = result;
      const details = { ...(status !== undefined && { status }), ...(retryInMs !== undefined && { retryInMs }) };
      onDiagnostic({ type: "export_failed", session, reason, spans, ...details });
    } else if (result.isUnexpected) {
      onDiagnostic({ type: "unexpected_answer", session, message: result.message });
    } else if (result.rejectedSpans > 0 || result.message !== "") {
      const { rejectedSpans, message } = result;
      onDiagnostic({ type: "partial_success", session, rejectedSpans, message });
    }
  }

  /** Returns whether the export has stopped and no sampled segment is newer than that. */
  #isStopped({ stopped_at: stoppedAt }: ExportState): boolean {
    if (stoppedAt === null) return false;
    const { next, passed } = this.#pass(stoppedAt);
    if (passed > stoppedAt) this.#ledger.write({ stopped_at: passed });
    return next === undefined;
  }

  /** Returns the stored state, and the next segment to be sent. */
  #next(): { readonly state: ExportRow; readonly next: SegmentHead | undefined } {
    const state = this.#ledger.read();
    const { next, passed } = this.#pass(state.segment_id);
    if (passed > state.segment_id) this.#ledger.write({ segment_id: passed });
    return { state: { ...state, segment_id: passed }, next };
  }

  /**
   * Returns the first sampled segment after a cursor, and the cursor right before it, which is stored in the place of the first:
   * so each unsampled segment is passed once, and not with every look at what is due.
   */
  #pass(cursor: number): { readonly next: SegmentHead | undefined; readonly passed: number } {
    const { segments } = this.#store;
    const head = segments.headAfter(cursor);
    if (head === undefined || head.isSampled) return { next: head, passed: cursor };
    const next = segments.sampledHeadAfter(cursor);
    return { next, passed: next === undefined ? segments.newestId() : next.id - 1 };
  }

  /** Returns the stored state, and since when spans do not arrive. */
  #standing(): { readonly state: ExportRow; readonly sinceMs: number | undefined } {
    if (this.#exporter === undefined) return { state: this.#ledger.read(), sinceMs: undefined };
    const { state, next } = this.#next();
    const sinceMs = Math.min(state.failing_since_ms ?? Infinity, next?.closedMs ?? Infinity);
    return { state, sinceMs: sinceMs === Infinity ? undefined : sinceMs };
  }

  #waitingSpans(): number {
    const { state, next } = this.#next();
    if (this.#exporter === undefined || next === undefined) return 0;
    return this.#store.segments.sampledSpans(state.segment_id) - (next.id === state.part_of ? state.settled_spans : 0);
  }
}

/** Returns the part of a segment to send: all of it, unless the backend found it too large. */
function partOf(segment: Segment, { part_of, part_spans, settled_spans }: ExportState): Segment & SentPart {
  const { id: segmentId } = segment;
  if (part_of !== segmentId) return { ...segment, segmentId, isLast: true };
  const { text, spans, left } = partOfRequest(unpack(segment.body), settled_spans, part_spans || segment.spans);
  return { id: segmentId, segmentId, spans, isLast: left === 0, body: new Uint8Array(gzipSync(text)) };
}

function hashOf(url: string, headers: Readonly<Record<string, string>>): string {
  const config = JSON.stringify([url, Object.entries(headers).sort()]);
  return createHash("sha256").update(config).digest("base64url");
}

/** Returns a problem as the session's view has it. */
export function viewExportProblem({ sinceMs, reason, waitingSpans, isStopped }: ExportProblem): ExportProblemView {
  return { since: isoTime(sinceMs), reason, waitingSpans, stopped: isStopped };
}
