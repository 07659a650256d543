/** The bars of a span: what worked, what waited, and what nobody knows. Pure. Times are µs since 1970. */
import { KIND_LOOKS } from "../ui/kind.tsx";
import { awaitsFirstByte, firstByteUs, lastSeenUs } from "./details.ts";
import { hasFailed, type Item } from "./model.ts";
import type { OtlpSpan } from "./otlp.ts";

export interface Bar {
  readonly fromUs: number;
  /** Not before `fromUs`. */
  readonly toUs: number;
  /** The classes that draw it. */
  readonly look: string;
  readonly isOpen: boolean;
}

/** Returns where a span ends: an open one now. */
export function endOf({ span }: Item, nowUs: number): number {
  return Math.max(span.startUs, span.endUs ?? nowUs);
}

export function barsOf(item: Item, otlp: OtlpSpan | undefined, nowUs: number): Bar[] {
  const { span, kind, children } = item;
  const toUs = endOf(item, nowUs);
  const isOpen = span.endUs === undefined;
  // What only holds others together is thin: they say more.
  const solid = kind === "other" && children.length > 0 ? "k-none thin" : KIND_LOOKS[kind].bar;
  if (span.isSealed) {
    const seen = lastSeenUs(item, otlp);
    const lost: Bar = { fromUs: seen ?? span.startUs, toUs, look: "k-none lost", isOpen: false };
    return seen === undefined ? [lost] : [{ fromUs: span.startUs, toUs: seen, look: solid, isOpen: false }, lost];
  }
  const ring = hasFailed(span) ? " failed" : "";
  if (awaitsFirstByte(item, otlp)) return [{ fromUs: span.startUs, toUs, look: `${solid} wait`, isOpen }];
  const first = firstByteUs(item, otlp);
  const byte = first === undefined ? undefined : Math.min(first, toUs);
  if (byte === undefined) return [{ fromUs: span.startUs, toUs, look: solid + ring, isOpen }];
  return [
    { fromUs: span.startUs, toUs: byte, look: `${solid} wait`, isOpen: false },
    { fromUs: byte, toUs, look: solid + ring, isOpen },
  ];
}
