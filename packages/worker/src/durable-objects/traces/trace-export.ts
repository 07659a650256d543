/**
 * Sends a session's segments to the backend. The log is the outbox: the export is a cursor over it, and a segment's bytes are
 * POSTed as they stand, one POST a segment. The cursor moves when a POST has ended, so that a crash repeats the batch in
 * flight, byte for byte, and nothing else.
 */
import { createHash } from "node:crypto";
import { gunzipSync, gzipSync } from "node:zlib";
import type { ExportProblemView } from "@valet/shared/protocol/session-view";
import { type Diagnostic, hostOf, OtlpExporter, type SendResult } from "@valet/shared/tracing";
import { isoTime } from "../core/iso-time.ts";
import { ExportLedger } from "./export-ledger.ts";
import { type ExportState, type SentPart, settle, TRY_AGAIN } from "./export-rules.ts";
import { type Segment, unpack } from "./trace-segments.ts";
import type { TraceStore } from "./trace-store.ts";
import { partOfRequest } from "./trace-text.ts";

/** What the export has to say: the tracer's words, and whose spans they are about. */
export type ExportDiagnostic = Diagnostic & { readonly session: string };

export interface TraceExportOptions {
  readonly sessionId: string;
  /** The traces endpoint; without one nothing is exported. */
  readonly url: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** Segments are stored as gzip; `none` unpacks them while sending. */
  readonly compression: "gzip" | "none";
  /** For one POST. */
  readonly timeoutMs: number;
  readonly now: () => number;
  readonly onDiagnostic: (diagnostic: ExportDiagnostic) => void;
  readonly fetch?: typeof fetch;
}

/** Spans that the backend does not get. Times are epoch milliseconds. */
export interface ExportProblem {
  /** Of the first attempt that failed, or of when the oldest span that waits could have been sent. */
  readonly sinceMs: number;
  /** Why the last attempt failed: a code, or `HTTP` and a status; `waiting` where none has. */
  readonly reason: string;
  /** Of the backend's last answer, if that was a failure. */
  readonly status?: number;
  readonly waitingSpans: number;
  /** Whether the session tries no more by itself: it goes on with its next span, or when it is asked to. */
  readonly isStopped: boolean;
}

/** How long a segment waits for others to be sent in the same run: each run costs two alarms, which are rows written. */
const GATHER_MS = 100;
/** How long an object that has died waits to be woken where a POST may take for ever. */
const UNTIMED_MS = 60_000;
/** What does not arrive for longer than this is a problem. */
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
    // What another endpoint or key was refused says nothing of this one.
    if (this.#ledger.read().config !== config) this.#ledger.write({ ...TRY_AGAIN, config });
  }

  /**
   * When this wants to be started, epoch ms; `undefined` when there is nothing to send. While a POST is under way that is
   * when it must have ended: an object that dies in the middle of it is woken by nothing but its alarm. Never 0: an alarm
   * set to that never comes.
   */
  dueAtMs(): number | undefined {
    if (this.#exporter === undefined) return undefined;
    const state = this.#ledger.read();
    const closedMs = this.#store.segments.nextSampledMs(state.segment_id);
    if (closedMs === undefined || this.#isStopped(state)) return undefined;
    if (this.#running !== undefined) return this.#options.now() + (this.#options.timeoutMs || UNTIMED_MS);
    return Math.max(state.not_before_ms, closedMs + GATHER_MS);
  }

  /** Whether a segment needs no sending any more. Without a backend none ever did. */
  isSettled(segmentId: number): boolean {
    return this.#exporter === undefined || segmentId <= this.#ledger.read().segment_id;
  }

  /**
   * Sends what is due, segment by segment, until nothing is left or the backend asks for patience. Never rejects. Hand the
   * promise to `waitUntil`; set the timers anew when it has settled.
   */
  start(): Promise<void> {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Whether there is a backend. */
  get isConfigured(): boolean {
    return this.#exporter !== undefined;
  }

  /** Of the backend, with its port. */
  get host(): string {
    return hostOf(this.#options.url ?? "");
  }

  /** Makes what waits due now, whatever has failed before, also after the export has stopped by itself. */
  tryAgain(): void {
    const nothingWaits = this.#waitingSpans() === 0;
    this.#ledger.write({ ...TRY_AGAIN, ...(nothingWaits && { failing_since_ms: null, reason: "", status: null }) });
  }

  /** What there is to say of spans that do not arrive; also before they are {@link problem late}. */
  shortfall(): ExportProblem | undefined {
    const state = this.#ledger.read();
    const sinceMs = this.#sinceMs(state);
    if (sinceMs === undefined) return undefined;
    const { reason, status } = state;
    return {
      ...(status !== null && { status }),
      ...{ sinceMs, reason: reason === "" ? "waiting" : reason },
      ...{ waitingSpans: this.#waitingSpans(), isStopped: this.#isStopped(state) },
    };
  }

  /** The shortfall, once it has lasted for over a minute. */
  problem(): ExportProblem | undefined {
    const sinceMs = this.#sinceMs(this.#ledger.read());
    return sinceMs !== undefined && this.#options.now() - sinceMs > LATE_MS ? this.shortfall() : undefined;
  }

  /** When there will be a problem to show that is not shown yet, epoch ms. */
  problemDueAtMs(): number | undefined {
    const state = this.#ledger.read();
    const sinceMs = state.shown === 0 ? this.#sinceMs(state) : undefined;
    return sinceMs === undefined ? undefined : sinceMs + LATE_MS + 1;
  }

  /** Whether the problem has come up, stopped the export or gone away since this last returned true. */
  problemChanged(): boolean {
    const problem = this.problem();
    const shown = problem === undefined ? 0 : 1 + Number(problem.isStopped);
    if (this.#ledger.read().shown === shown) return false;
    this.#ledger.write({ shown });
    return true;
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

  /** Its writes are one: nothing is awaited between them. */
  #settle(part: Segment & SentPart, result: SendResult): void {
    const newestSegment = this.#store.segments.newestSampledId() ?? part.segmentId;
    // What was done to the state meanwhile stands: a person may have asked to try again.
    const now = { nowMs: this.#options.now(), newestSegment, random: Math.random() };
    const { state, retryInMs, lost } = settle(this.#ledger.read(), part, result, now);
    this.#tell(part, result, retryInMs);
    if (lost !== undefined) this.#store.countLost(lost, part);
    if (result.outcome === "delivered")
      this.#store.countDropped("rejected", Math.min(result.rejectedSpans, part.spans));
    this.#ledger.write(state);
  }

  #tell({ spans }: SentPart, result: SendResult, retryInMs: number | undefined): void {
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

  #isStopped({ stopped_at: stoppedAt }: ExportState): boolean {
    return stoppedAt !== null && (this.#store.segments.newestSampledId() ?? 0) <= stoppedAt;
  }

  /** Since when spans do not arrive. */
  #sinceMs({ segment_id: segmentId, failing_since_ms: failingSinceMs }: ExportState): number | undefined {
    if (this.#exporter === undefined) return undefined;
    const closedMs = this.#store.segments.nextSampledMs(segmentId);
    const sinceMs = Math.min(failingSinceMs ?? Infinity, closedMs ?? Infinity);
    return sinceMs === Infinity ? undefined : sinceMs;
  }

  #waitingSpans(): number {
    const state = this.#ledger.read();
    const next = this.#store.segments.nextSampledId(state.segment_id);
    if (this.#exporter === undefined || next === undefined) return 0;
    return this.#store.segments.sampledSpans(state.segment_id) - (next === state.part_of ? state.settled_spans : 0);
  }
}

/** What is to be sent of a segment: all of it, unless the backend has found it too large. */
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
