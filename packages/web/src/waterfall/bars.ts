/** The bars of a span: what worked, what waited, and what nobody knows. Pure. Times are µs since 1970. */
import type { Kind } from "../ui/kind.tsx";
import { awaitsFirstByte, firstByteUs, lastSeenUs } from "./details.ts";
import type { Item } from "./item.ts";
import { hasFailed } from "./model.ts";
import type { OtlpSpan } from "./otlp.ts";

export interface Bar {
  readonly fromUs: number;
  /** Not before `fromUs`. */
  readonly toUs: number;
  readonly kind: Kind;
  /** `thin` only holds others together; `wait` is a model that has sent nothing yet; of `lost` nobody knows. */
  readonly form: "solid" | "thin" | "wait" | "lost";
  readonly hasFailed: boolean;
  readonly isOpen: boolean;
}

/** Returns where a span ends by its own clock: an open one now. @param nowUs by the Worker's clock */
export function endOf({ span, shiftUs }: Item, nowUs: number): number {
  return Math.max(span.startUs, span.endUs ?? nowUs - shiftUs);
}

export function barsOf(item: Item, otlp: OtlpSpan | undefined, nowUs: number): Bar[] {
  const { span, kind, children } = item;
  const fromUs = span.startUs;
  const toUs = endOf(item, nowUs);
  const form = kind === "other" && children.length > 0 ? "thin" : "solid";
  const whole: Bar = { fromUs, toUs, kind, form, hasFailed: false, isOpen: span.endUs === undefined };
  if (span.isSealed) {
    const seen = lastSeenUs(item, otlp);
    const lost: Bar = { ...whole, fromUs: seen ?? fromUs, form: "lost", isOpen: false };
    return seen === undefined ? [lost] : [{ ...whole, toUs: seen, isOpen: false }, lost];
  }
  if (awaitsFirstByte(item, otlp)) return [{ ...whole, form: "wait" }];
  const first = firstByteUs(item, otlp);
  const worked: Bar = { ...whole, hasFailed: hasFailed(span) };
  if (first === undefined) return [worked];
  const byte = Math.min(first, toUs);
  return [
    { ...whole, toUs: byte, form: "wait", isOpen: false },
    { ...worked, fromUs: byte },
  ];
}
