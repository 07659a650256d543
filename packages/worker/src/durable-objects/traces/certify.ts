/** What became of the spans of a trace, as a certificate: it counts sets of span ids. Pure. */
import {
  type CertificateState,
  MAX_LISTED_SPANS,
  type MessageCertificate,
  type TraceCertificate,
  worstOf,
} from "@valet/shared/protocol/certificate";
import type { DropReason } from "@valet/shared/tracing";
import { isoTime } from "../core/iso-time.ts";
import { type Account, countOf, idsOf, type Lost } from "./account-rules.ts";
import { sentenceOf } from "./certificate-text.ts";
import type { Unnamed } from "./trace-accounts.ts";

/** How far the export has come. */
export interface ExportPosition {
  /** The last segment that is settled: delivered, or refused and counted. */
  readonly settledUpTo: number;
  /** Why the last attempt failed; `null` if it did not. */
  readonly reason: string | null;
  readonly isStopped: boolean;
}

/** An ended span as the store has it. Times are epoch ms. */
export interface StoredSpan {
  readonly spanId: string;
  readonly isSealed: boolean;
  readonly isAdopted: boolean;
  readonly isSampled: boolean;
  /** Whether its segment is settled: the backend has it, unless it is among the lost ones. */
  readonly isSettled: boolean;
  readonly startMs: number;
  readonly endMs: number;
}

export interface CertificateFacts {
  readonly traceId: string;
  readonly stored: readonly StoredSpan[];
  readonly open: readonly { readonly spanId: string; readonly startMs: number }[];
  readonly account: Account;
  readonly unnamed: Unnamed | undefined;
  /** When something of the trace was stored last, epoch ms. */
  readonly lastFrameMs: number | undefined;
  /** How far the export has come; `undefined` without a backend. */
  readonly position: ExportPosition | undefined;
  readonly nowMs: number;
}

/** How long after a trace's end its last spans may still be lost, in ms. */
const AFTER_END_MS = 60_000;

/** @param withIds whether the ids of all known spans are asked for */
export function certify(facts: CertificateFacts, withIds = false): TraceCertificate {
  const { traceId, stored, account, position } = facts;
  const { arriving = [], leaving = [], seals = [], late, refused = 0, rejected, doubtful = 0, removed } = account;
  const ended = new Map<string, StoredSpan[]>();
  for (const span of stored) ended.set(span.spanId, [...(ended.get(span.spanId) ?? []), span]);
  const open = facts.open.map(({ spanId }) => spanId).filter((id) => !ended.has(id));
  const isThere = new Set([...ended.keys(), ...open]);
  // What was lost once and has arrived after all is not lost.
  const lostBefore = arriving.map((list) => without(list, isThere));
  // Without a backend a span is lost on the way to it only if the store does not have it any more.
  const lostAfter = position === undefined ? leaving.map((list) => without(list, isThere)) : leaving;
  const gone = new Set(leaving.flatMap(idsOf).filter((id) => !ended.has(id)));
  const isLostAfter = new Set(leaving.flatMap(idsOf));
  const each = [...ended.values()];
  const sampled = each.filter((copies) => copies.some(({ isSampled }) => isSampled));
  const isAcknowledged = (copies: readonly StoredSpan[]) =>
    copies.some(({ isSettled, isSampled, spanId }) => isSettled && isSampled && !isLostAfter.has(spanId));
  const isWaiting = (copies: readonly StoredSpan[]) =>
    !isAcknowledged(copies) && copies.some(({ isSettled, isSampled }) => isSampled && !isSettled);
  const sealedThere = each.filter((copies) => copies.some(({ isSealed }) => isSealed)).length;
  const dropped = byReason([...lostBefore, ...lostAfter]);
  const missing = [...new Set([...lostBefore, ...lostAfter].flatMap(idsOf))];
  const endedCount = ended.size + gone.size + (removed?.spans ?? 0);
  const lostBeforeCount = sumOf(lostBefore);
  const counts = {
    traceId,
    known: endedCount + open.length + lostBeforeCount,
    lastFrameAt: facts.lastFrameMs === undefined ? null : isoTime(facts.lastFrameMs),
    open: open.length,
    ended: endedCount,
    sealed: sealedOf(seals, sealedThere + (removed?.sealed ?? 0)),
    dropped,
    rejected: rejected?.alone ?? 0,
    rejectedWithOthers: rejected?.shared ?? 0,
    doubtful,
    unnamed: unnamedOf(facts),
    refused,
    late: late === undefined ? 0 : countOf(late),
    repeated: stored.length - ended.size,
    adopted: each.filter((copies) => copies.some((span) => span.isAdopted)).length + (removed?.adopted ?? 0),
    sampled: sampled.length + gone.size + (removed?.sampled ?? 0),
    unsampled: each.length - sampled.length + (removed === undefined ? 0 : removed.spans - removed.sampled),
    removed: removed?.spans ?? 0,
    export:
      position === undefined
        ? null
        : {
            acknowledged: Math.max(
              0,
              each.filter(isAcknowledged).length + (removed?.acknowledged ?? 0) - (rejected?.alone ?? 0),
            ),
            waiting: each.filter(isWaiting).length,
            reason: position.reason,
            stopped: position.isStopped,
          },
    missing: missing.slice(0, MAX_LISTED_SPANS),
    openSpans: open.slice(0, MAX_LISTED_SPANS),
  };
  const state = stateOf(counts);
  const certificate = { ...counts, state, sentence: sentenceOf({ ...counts, state }) };
  if (!withIds) return certificate;
  const acknowledged = position === undefined ? [] : idsOfCopies(each.filter(isAcknowledged));
  const isListed = new Set(acknowledged);
  const known = new Set([...ended.keys(), ...open, ...missing, ...gone]);
  return { ...certificate, spanIds: { acknowledged, others: [...known].filter((id) => !isListed.has(id)) } };
}

type Counts = Omit<TraceCertificate, "state" | "sentence">;

function stateOf({ export: exported, ...counts }: Counts): CertificateState {
  const dropped = counts.dropped.reduce((sum, { spans }) => sum + spans, 0);
  const lost = dropped + (exported === null ? counts.removed : counts.rejected);
  if (lost > 0) return "incomplete";
  if (counts.open > 0 || (exported?.waiting ?? 0) > 0) return "pending";
  if (counts.unnamed > 0 || (exported !== null && counts.rejectedWithOthers + counts.doubtful > 0))
    return "undetermined";
  return counts.sampled === 0 ? "not_sampled" : "complete";
}

/** Returns the certificate of a message from those of its traces, of which there is at least one. */
export function certifyMessage(
  sessionId: string,
  messageId: string,
  traces: readonly TraceCertificate[],
): MessageCertificate {
  const state = worstOf(traces.map((trace) => trace.state));
  const [worst] = traces.filter((trace) => trace.state === state);
  return { sessionId, messageId, state, sentence: worst?.sentence ?? "", traces: [...traces] };
}

const idsOfCopies = (spans: readonly (readonly StoredSpan[])[]) => spans.flatMap(([span]) => span?.spanId ?? []);

function without<T extends Lost>(list: T, isThere: ReadonlySet<string>): T {
  return {
    ...list,
    ids: idsOf(list)
      .filter((id) => !isThere.has(id))
      .join(""),
  };
}

function sumOf(lists: readonly Lost[]): number {
  return lists.reduce((sum, list) => sum + countOf(list), 0);
}

function byReason(lists: readonly Lost[]): { reason: DropReason; spans: number }[] {
  const reasons = Map.groupBy(lists, ({ reason }) => reason);
  return [...reasons].map(([reason, of]) => ({ reason, spans: sumOf(of) })).filter(({ spans }) => spans > 0);
}

/** Returns the sealed spans by cause. @param known how many there are: earlier versions recorded no causes */
function sealedOf(seals: NonNullable<Account["seals"]>, known: number): TraceCertificate["sealed"] {
  const named = seals.map(({ cause, lastFrameMs, ...list }) => ({
    cause,
    spans: countOf(list),
    unseenAfter: lastFrameMs === null ? null : isoTime(lastFrameMs),
  }));
  const rest = known - named.reduce((sum, { spans }) => sum + spans, 0);
  return rest <= 0 ? named : [...named, { cause: null, spans: rest, unseenAfter: null }];
}

/** Returns how many spans were lost, while the trace lasted, that nobody can name. */
function unnamedOf({ stored, open, unnamed, nowMs }: CertificateFacts): number {
  if (unnamed === undefined || stored.length + open.length === 0) return 0;
  const spans = [...stored, ...open.map(({ startMs }) => ({ startMs, endMs: nowMs }))];
  const [fromMs, toMs] = spans.reduce(
    ([from, to], { startMs, endMs }) => [Math.min(from, startMs), Math.max(to, endMs)],
    [Infinity, -Infinity],
  );
  return unnamed.toMs >= fromMs && unnamed.fromMs <= toMs + AFTER_END_MS ? unnamed.spans : 0;
}
