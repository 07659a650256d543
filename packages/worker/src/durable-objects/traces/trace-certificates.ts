/** Reads from the trace store what became of the spans of a trace. Writes nothing. */
import { type CertificateState, type TraceCertificate, worstOf } from "@valet/shared/protocol/certificate";
import type { TurnRecord } from "@valet/shared/protocol/session-view";
import { decodeSkeleton, type SkeletonSpan } from "@valet/shared/protocol/skeleton-codec";
import type { SkeletonChunk } from "@valet/shared/protocol/trace-skeleton";
import { certify, type ExportPosition, type StoredSpan } from "./certify.ts";
import type { RunnerInstances } from "./runner-instances.ts";
import { openFactsOf } from "./span-facts.ts";
import type { TraceAccounts } from "./trace-accounts.ts";
import { OBJECT, type TraceOpenSpans } from "./trace-open-spans.ts";
import type { TraceSegments } from "./trace-segments.ts";
import type { TraceSkeletons } from "./trace-skeletons.ts";

export interface TraceCertificatesOptions {
  readonly segments: TraceSegments;
  readonly skeletons: TraceSkeletons;
  readonly open: TraceOpenSpans;
  readonly accounts: TraceAccounts;
  readonly instances: RunnerInstances;
  readonly now: () => number;
}

export class TraceCertificates {
  readonly #options: TraceCertificatesOptions;

  constructor(options: TraceCertificatesOptions) {
    this.#options = options;
  }

  /** Returns the worst state of a turn's traces; `null` if it has none. */
  stateOfTurn(turn: Pick<TurnRecord, "trace_id" | "message_trace_id">, position: ExportPosition | undefined) {
    const ids = new Set([turn.trace_id, ...(turn.message_trace_id === null ? [] : [turn.message_trace_id])]);
    const states = [...ids].flatMap((traceId) => this.stateOf(traceId, position) ?? []);
    return states.length === 0 ? null : worstOf(states);
  }

  /** Returns the state of {@link of}, mostly without reading the trace. */
  stateOf(traceId: string, position: ExportPosition | undefined): CertificateState | undefined {
    const { segments, open, accounts } = this.#options;
    const isPlain = accounts.of(traceId) === undefined && accounts.unnamed() === undefined;
    if (!isPlain) return this.of(traceId, position)?.state;
    const stored = segments.index.extentOf(traceId);
    const tail = segments.tailHasTrace(traceId);
    const isOpen = open.hasTrace(traceId);
    if (stored === undefined && tail === undefined && !isOpen) return undefined;
    const lastSampled = tail?.sampled === true ? Infinity : (stored?.lastSampled ?? 0);
    if (isOpen || (position !== undefined && lastSampled > position.settledUpTo)) return "pending";
    return lastSampled > 0 ? "complete" : "not_sampled";
  }

  /** Returns the traces of the dispatches that a trace's dispatches follow: a batch whose attempt was lost has another trace. */
  dispatchedBefore(traceId: string): string[] {
    const { segments, skeletons } = this.#options;
    const stored = segments.index.segmentsOf(traceId).flatMap(({ segmentId, chunk }) => {
      const text = chunk ?? skeletons.chunkOf(segmentId, traceId);
      return decodeSkeleton(JSON.parse(text) as SkeletonChunk);
    });
    const inTail = segments.tailFacts().filter((span) => span.traceId === traceId);
    const dispatches = [...stored, ...inTail].filter(({ name }) => name.endsWith(".dispatch"));
    return dispatches.flatMap(({ links }) =>
      links.filter(({ type }) => type === "follows").map((link) => link.traceId),
    );
  }

  /**
   * Returns the certificate of a trace; `undefined` if the session has never heard of it.
   * @param position how far the export has come; `undefined` without a backend
   * @param withIds whether the ids of all known spans are asked for
   */
  of(traceId: string, position: ExportPosition | undefined, withIds = false): TraceCertificate | undefined {
    const { segments, skeletons, open: openSpans, accounts, instances, now } = this.#options;
    const stored: StoredSpan[] = [];
    const frames: number[] = [];
    const add = (spans: readonly SkeletonSpan[], isSampled: boolean, isSettled: boolean) => {
      for (const { spanId, isSealed, isAdopted = false, startUs, endUs = startUs } of spans) {
        stored.push({
          spanId,
          isSealed,
          isAdopted,
          isSampled,
          isSettled,
          startMs: startUs / 1000,
          endMs: endUs / 1000,
        });
      }
    };
    for (const { segmentId, chunk, isSampled, closedMs } of segments.index.segmentsOf(traceId)) {
      const text = chunk ?? skeletons.chunkOf(segmentId, traceId);
      add(decodeSkeleton(JSON.parse(text) as SkeletonChunk), isSampled, segmentId <= (position?.settledUpTo ?? 0));
      frames.push(closedMs);
    }
    const tail = segments.tailOf(traceId);
    add(tail.sampled, true, false);
    add(tail.unsampled, false, false);
    if (tail.sampled.length + tail.unsampled.length > 0) frames.push(tail.lastMs);
    const open = openSpans.ofTrace(traceId).map(({ owner, span }) => {
      const lastMs = owner === OBJECT ? undefined : instances.lastFrameMs(owner);
      if (lastMs !== undefined) frames.push(lastMs);
      return { spanId: span.context.spanId, startMs: openFactsOf(span).startUs / 1000 };
    });
    const account = accounts.of(traceId);
    for (const { lastFrameMs } of account?.seals ?? []) if (lastFrameMs !== null) frames.push(lastFrameMs);
    if (stored.length + open.length === 0 && account === undefined) return undefined;
    const facts = {
      traceId,
      stored,
      open,
      account: account ?? {},
      unnamed: accounts.unnamed(),
      lastFrameMs: frames.length === 0 ? undefined : Math.max(...frames),
      position,
      nowMs: now(),
    };
    return certify(facts, withIds);
  }
}
