/**
 * Sends a session's segments to the backend. The log is the outbox: the export is a cursor over it, and a segment's bytes are
 * POSTed as they stand, one POST a segment. The cursor moves when a POST has ended, so that a crash repeats the batch in
 * flight, byte for byte, and nothing else.
 */
import { gunzipSync } from "node:zlib";
import { backoffMs, type OnDiagnostic, OtlpExporter, type SendResult } from "@valet/shared/tracing";
import type { Segment } from "./trace-segments.ts";
import type { TraceStore } from "./trace-store.ts";

export interface TraceExportOptions {
  /** The traces endpoint; without one nothing is exported. */
  readonly url: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** Segments are stored as gzip; `none` unpacks them while sending. */
  readonly compression: "gzip" | "none";
  /** For one POST. */
  readonly timeoutMs: number;
  readonly now: () => number;
  readonly onDiagnostic: OnDiagnostic;
  readonly fetch?: typeof fetch;
}

/** How long a segment waits for others to be sent in the same run: each run costs two alarms, which are rows written. */
const GATHER_MS = 100;
/** How long an object that has died waits to be woken where a POST may take for ever. */
const UNTIMED_MS = 60_000;

interface Cursor extends Record<string, SqlStorageValue> {
  /** The last segment that is settled: delivered, or refused and counted. */
  segment_id: number;
  attempts: number;
  not_before_ms: number;
}

export class TraceExport {
  readonly #sql: SqlStorage;
  readonly #store: TraceStore;
  readonly #options: TraceExportOptions;
  readonly #exporter: OtlpExporter | undefined;
  #running: Promise<void> | undefined;

  constructor(sql: SqlStorage, store: TraceStore, options: TraceExportOptions) {
    this.#sql = sql;
    this.#store = store;
    this.#options = options;
    const { url, headers, timeoutMs, fetch } = options;
    this.#exporter = url === undefined ? undefined : new OtlpExporter({ url, headers, timeoutMs, fetch });
    sql.exec(`
      CREATE TABLE IF NOT EXISTS trace_export (
        id INTEGER PRIMARY KEY CHECK (id = 1), segment_id INTEGER NOT NULL, attempts INTEGER NOT NULL,
        not_before_ms INTEGER NOT NULL);
      INSERT OR IGNORE INTO trace_export VALUES (1, 0, 0, 0);
    `);
  }

  /**
   * When this wants to be started, epoch ms; `undefined` when there is nothing to send. While a POST is under way that is
   * when it must have ended: an object that dies in the middle of it is woken by nothing but its alarm. Never 0: an alarm
   * set to that never comes.
   */
  dueAtMs(): number | undefined {
    if (this.#exporter === undefined) return undefined;
    const { segment_id, not_before_ms } = this.#cursor();
    const closedMs = this.#store.segments.nextSampledMs(segment_id);
    if (closedMs === undefined) return undefined;
    if (this.#running !== undefined) return this.#options.now() + (this.#options.timeoutMs || UNTIMED_MS);
    return Math.max(not_before_ms, closedMs + GATHER_MS);
  }

  /** Whether a segment needs no sending any more. Without a backend none ever did. */
  isSettled(segmentId: number): boolean {
    return this.#exporter === undefined || segmentId <= this.#cursor().segment_id;
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

  async #run(): Promise<void> {
    for (;;) {
      const { segment_id, attempts, not_before_ms } = this.#cursor();
      if (this.#exporter === undefined || not_before_ms > this.#options.now()) return;
      const segment = this.#store.segments.nextSampled(segment_id);
      if (segment === undefined) return;
      const result = await this.#exporter.send(this.#bodyOf(segment));
      this.#settle(segment, result, attempts + 1);
    }
  }

  #bodyOf({ body }: Segment): { body: Uint8Array<ArrayBuffer>; gzip: boolean } {
    if (this.#options.compression === "gzip") return { body, gzip: true };
    return { body: new Uint8Array(gunzipSync(body)), gzip: false };
  }

  /** Its writes are one: nothing is awaited between them. */
  #settle(segment: Segment, result: SendResult, attempts: number): void {
    const { onDiagnostic, now } = this.#options;
    const { outcome, ...details } = result;
    if (outcome === "retry") {
      const retryInMs = result.retryAfterMs ?? backoffMs(attempts, Math.random());
      onDiagnostic({ type: "export_failed", ...details, reason: result.reason, spans: segment.spans, retryInMs });
      // What fails may be tried for ever: it is the store's bound that ends it, with the oldest dropped and counted.
      this.#sql.exec("UPDATE trace_export SET attempts = ?, not_before_ms = ?", attempts, Math.ceil(now() + retryInMs));
      return;
    }
    if (outcome === "refused") {
      onDiagnostic({ type: "export_failed", ...details, reason: result.reason, spans: segment.spans });
      this.#store.countLost("not_retryable", segment);
    } else if (result.rejectedSpans > 0 || result.message !== "") {
      onDiagnostic({ type: "partial_success", rejectedSpans: result.rejectedSpans, message: result.message });
      this.#store.countDropped("rejected", Math.min(result.rejectedSpans, segment.spans));
    }
    this.#sql.exec("UPDATE trace_export SET segment_id = ?, attempts = 0, not_before_ms = 0", segment.id);
  }

  #cursor(): Cursor {
    return this.#sql.exec<Cursor>("SELECT segment_id, attempts, not_before_ms FROM trace_export").one();
  }
}
