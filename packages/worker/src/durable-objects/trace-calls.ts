/** The calls of a session's object about its spans: reading traces, what became of each span, and sending late ones again. */
import type { MessageCertificate, TraceCertificate } from "@valet/shared/protocol/certificate";
import {
  type BacklinkList,
  type FoundSpans,
  RESEND_WAIT_MS,
  type ResentSpans,
  type TraceList,
} from "@valet/shared/protocol/session-api";
import { exportHint } from "@valet/shared/tracing";
import type { z } from "zod";
import { jobTraces } from "./answers/job-traces.ts";
import type { SkeletonAnswer } from "./contract.ts";
import { badCursor } from "./core/cursor.ts";
import { ok, type Result, refuse } from "./core/result.ts";
import type { SessionRooms } from "./session-rooms.ts";
import { certifyMessage } from "./traces/certify.ts";
import { type SegmentList, segmentAfter } from "./traces/segment-cursor.ts";
import { listTraces } from "./traces/trace-list.ts";

const NOT_TRACED = refuse("trace-not-found", "The message has no trace: tracing was off.");
const TRACE_NOT_FOUND = refuse("trace-not-found", "The session has no trace with this id.");

export class TraceCalls {
  readonly #rooms: SessionRooms;

  constructor(rooms: SessionRooms) {
    this.#rooms = rooms;
  }

  list(cursor?: string): Result<z.infer<typeof TraceList>> {
    return this.#rooms.read(({ state, traces }) => listTraces(traces.reader, state.record.id, cursor));
  }

  /** Streams a page of one trace as OTLP/JSON. Open spans have no end. */
  read(traceId: string, cursor?: string): Result<ReadableStream<Uint8Array>> {
    return this.#rooms.read(({ traces, link }) => {
      const after = segmentAfter(this.#listOf("trace", traceId), cursor);
      if (after === undefined) return badCursor();
      const otlp = traces.reader.trace(traceId, (instanceId) => link.lastSeenMs(instanceId), after);
      return otlp === undefined ? TRACE_NOT_FOUND : ok(otlp);
    });
  }

  skeleton(traceId: string, after?: string, knownTags: readonly string[] = []): Result<SkeletonAnswer> {
    return this.#rooms.read(({ traces }) => {
      const segmentId = segmentAfter(this.#listOf("skeleton", traceId), after);
      if (segmentId === undefined) return badCursor();
      const skeleton = traces.reader.skeletons.read(traceId, segmentId);
      if (skeleton === undefined) return TRACE_NOT_FOUND;
      // RFC 9110, section 13.1.2: the asterisk stands for whatever there is.
      const isKnown = knownTags.includes(skeleton.etag) || knownTags.includes("*");
      return ok(isKnown ? { etag: skeleton.etag } : skeleton);
    });
  }

  span(traceId: string, spanId: string): Result<string> {
    return this.#rooms.read(({ traces, link }) => {
      const otlp = traces.reader.span(traceId, spanId, (instanceId) => link.lastSeenMs(instanceId));
      return otlp === undefined ? refuse("span-not-found", "The trace has no span with this id.") : ok(otlp);
    });
  }

  search(traceId: string, query: string, cursor?: string): Result<FoundSpans> {
    return this.#rooms.read(({ traces }) => {
      const after = segmentAfter(this.#listOf("search", traceId), cursor);
      if (after === undefined) return badCursor();
      const { spanIds, nextCursor } = traces.reader.search(traceId, query, after);
      return ok({ spanIds: [...spanIds], ...(nextCursor !== undefined && { nextCursor }) });
    });
  }

  backlinks(traceId: string, cursor?: string): Result<BacklinkList> {
    return this.#rooms.read(({ traces }) => {
      const after = segmentAfter(this.#listOf("backlinks", traceId), cursor);
      return after === undefined ? badCursor() : ok(traces.readBacklinks(traceId, after));
    });
  }

  certify(traceId: string, withIds = false): Result<TraceCertificate> {
    return this.#rooms.read(({ traces, exporter }) => {
      const certificate = traces.certificates.of(traceId, exporter.position(), withIds);
      return certificate === undefined ? TRACE_NOT_FOUND : ok(certificate);
    });
  }

  certifyMessage(messageId: string): Result<MessageCertificate> {
    return this.#rooms.read(({ state, intake, queue, traces: { certificates }, exporter }) => {
      const row = intake.find("message", messageId);
      if (!row.ok) return row;
      const position = exporter.position();
      const ids = jobTraces(queue.jobs, row.value, (traceId) => certificates.dispatchedBefore(traceId));
      const found = ids.flatMap((traceId) => certificates.of(traceId, position) ?? []);
      return found.length === 0 ? NOT_TRACED : ok(certifyMessage(state.record.id, messageId, found));
    });
  }

  spans(cursor?: string): Result<ReadableStream<Uint8Array>> {
    return this.#rooms.read(({ traces }) => {
      const after = segmentAfter(this.#listOf("spans"), cursor);
      return after === undefined ? badCursor() : ok(traces.reader.spans(after));
    });
  }

  /** Exports waiting spans again, even after the session has given up, and waits some seconds for the result. */
  async resend(): Promise<Result<ResentSpans>> {
    const parts = this.#rooms.existing;
    if (parts === undefined) return this.#rooms.refusal;
    const { transactions, exporter, boundary, runExport, background } = parts;
    transactions.run(() => {
      boundary();
      exporter.tryAgain();
    });
    const run = runExport();
    background(run);
    await Promise.race([run, scheduler.wait(RESEND_WAIT_MS)]);
    const left = exporter.shortfall();
    const hint = left && exportHint({ ...left, host: exporter.host });
    return ok({
      exported: exporter.isConfigured,
      waitingSpans: left?.waitingSpans ?? 0,
      ...(left !== undefined && { reason: left.reason }),
      ...(hint !== undefined && { hint }),
    });
  }

  #listOf(what: SegmentList["what"], traceId?: string): SegmentList {
    return { sessionId: this.#rooms.parts.state.record.id, what, traceId };
  }
}
