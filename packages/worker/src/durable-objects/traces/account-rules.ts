/**
 * The account of a trace: what became of those of its spans with which something out of the ordinary happened, and what is left to
 * say of segments that are deleted. A trace of which all spans have ended, arrived and left has none. Pure.
 */
import type { DropReason } from "@valet/shared/tracing";

/** Span ids, 16 hexadecimal digits each, as one text; and how many more there were than are kept. */
export interface IdList {
  readonly ids: string;
  readonly more: number;
}

/** Spans that are lost for one reason. */
export interface Lost extends IdList {
  readonly reason: DropReason;
}

/** Spans that were ended for a process that is gone. */
export interface Seal extends IdList {
  /** Their `error.type`; `null` if they have none. */
  readonly cause: string | null;
  /** The last frame of that process, epoch ms: what it began later is unknown. `null` if it sent none. */
  readonly lastFrameMs: number | null;
}

/** Spans of which the backend refused some without saying which. */
export interface Rejected {
  /** How many it refused of requests that held this trace alone. */
  readonly alone: number;
  /** How many it refused of requests that held other traces, too; some of them may be of this one. */
  readonly shared: number;
}

/** What segments held that are deleted, beside spans that are lost. */
export interface Removed {
  readonly spans: number;
  readonly sampled: number;
  readonly acknowledged: number;
  readonly sealed: number;
  readonly adopted: number;
}

export interface Account {
  /** Lost on the way to the store. */
  readonly arriving?: readonly Lost[];
  /** Stored, and lost on the way to the backend. */
  readonly leaving?: readonly Lost[];
  readonly seals?: readonly Seal[];
  /** Sealed spans that ended later after all. */
  readonly late?: IdList;
  /** Ends that a process sent for spans that are not its own. */
  readonly refused?: number;
  readonly rejected?: Rejected;
  /** How many were in requests whose answer says that they have arrived, and perhaps that some were rejected: it could not be read. */
  readonly doubtful?: number;
  readonly removed?: Removed;
}

/** How many ids each list keeps; further ones are counted. */
const MAX_IDS = 1000;
/** How many seals are kept apart. */
const MAX_SEALS = 20;
const DIGITS = 16;

const NO_IDS: IdList = { ids: "", more: 0 };
const NOTHING_REMOVED: Removed = { spans: 0, sampled: 0, acknowledged: 0, sealed: 0, adopted: 0 };

/** Returns the ids of a list. */
export function idsOf({ ids }: IdList): string[] {
  return ids.match(/.{16}/g) ?? [];
}

/** Returns how many spans a list stands for. */
export function countOf({ ids, more }: IdList): number {
  return ids.length / DIGITS + more;
}

function added<T extends IdList>(list: T, spanIds: readonly string[]): T {
  const known = new Set(idsOf(list));
  const fresh = [...new Set(spanIds)].filter((id) => !known.has(id));
  const kept = fresh.slice(0, Math.max(0, MAX_IDS - known.size));
  return { ...list, ids: list.ids + kept.join(""), more: list.more + fresh.length - kept.length };
}

/** Adds lost spans. @param where they were on their way to */
export function withLost(
  account: Account,
  where: "arriving" | "leaving",
  reason: DropReason,
  spanIds: readonly string[],
): Account {
  const lists = account[where] ?? [];
  const list = lists.find((each) => each.reason === reason) ?? { reason, ...NO_IDS };
  return { ...account, [where]: [...lists.filter((each) => each.reason !== reason), added(list, spanIds)] };
}

/** Adds sealed spans. */
export function withSealed(
  account: Account,
  { cause, lastFrameMs }: Pick<Seal, "cause" | "lastFrameMs">,
  spanIds: readonly string[],
): Account {
  const seals = account.seals ?? [];
  const known =
    seals.find((each) => each.cause === cause && each.lastFrameMs === lastFrameMs) ??
    // Beyond the maximum the last one stands for all that follow.
    (seals.length >= MAX_SEALS ? seals.at(-1) : undefined);
  const seal = added(known ?? { cause, lastFrameMs, ...NO_IDS }, spanIds);
  return { ...account, seals: [...seals.filter((each) => each !== known), seal] };
}

/** Adds ends of sealed spans. */
export function withLate(account: Account, spanIds: readonly string[]): Account {
  return { ...account, late: added(account.late ?? NO_IDS, spanIds) };
}

export function withRefused(account: Account, ends: number): Account {
  return { ...account, refused: (account.refused ?? 0) + ends };
}

/** Adds spans of a request that the backend refused without saying which. @param isAlone whether the request held no other trace */
export function withRejected(account: Account, spans: number, isAlone: boolean): Account {
  const { alone, shared } = account.rejected ?? { alone: 0, shared: 0 };
  return { ...account, rejected: isAlone ? { alone: alone + spans, shared } : { alone, shared: shared + spans } };
}

/** Adds spans of a request of which the backend may have rejected any. */
export function withDoubtful(account: Account, spans: number): Account {
  return { ...account, doubtful: (account.doubtful ?? 0) + spans };
}

/** A span of a segment that is deleted. */
export interface RemovedSpan {
  readonly spanId: string;
  readonly isSealed: boolean;
  readonly isAdopted: boolean;
}

/** Adds a segment that is deleted. Those of its spans that are lost are counted as lost only. */
export function withRemoved(
  account: Account,
  spans: readonly RemovedSpan[],
  segment: { readonly isSampled: boolean; readonly isAcknowledged: boolean },
): Account {
  const lost = new Set((account.leaving ?? []).flatMap(idsOf));
  const kept = spans.filter(({ spanId }) => !lost.has(spanId));
  const before = account.removed ?? NOTHING_REMOVED;
  const sampled = segment.isSampled ? kept.length : 0;
  return {
    ...account,
    removed: {
      spans: before.spans + kept.length,
      sampled: before.sampled + sampled,
      acknowledged: before.acknowledged + (segment.isAcknowledged ? sampled : 0),
      sealed: before.sealed + kept.filter(({ isSealed }) => isSealed).length,
      adopted: before.adopted + kept.filter(({ isAdopted }) => isAdopted).length,
    },
  };
}
