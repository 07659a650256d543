/** Checks how spans nest in their parents, on one clock (docs/specs/session-tracing.md, "Trace model"). */
import type { SeenSpan } from "./session.ts";

type Nested = Pick<
  SeenSpan,
  "name" | "spanId" | "parentSpanId" | "kind" | "isOpen" | "startNs" | "endNs" | "attributes"
>;

const [SERVER, CLIENT, PRODUCER, CONSUMER] = [2, 3, 4, 5];

/** Clocks that stand still use nanoseconds for the order of their own readings: different clocks only share milliseconds. */
const ms = (ns: bigint) => ns / 1_000_000n;

/**
 * Returns a sentence for every span that does not begin before its parent ends, or does not end within it. Ignores parents that are
 * not among the spans.
 */
export function misnested(spans: readonly Nested[]): string[] {
  const byId = new Map(spans.map((span) => [span.spanId, span]));
  return spans.flatMap((span) => {
    const parent = byId.get(span.parentSpanId ?? "");
    if (parent === undefined) return [];
    const of = `${span.name} in ${parent.name}`;
    const faults: string[] = [];
    if (ms(span.startNs) < ms(parent.startNs)) faults.push(`${of} begins before it`);
    if (!parent.isOpen && ms(span.startNs) > ms(parent.endNs) && !isTakenLate(span, parent))
      faults.push(`${of} begins after it`);
    const endsLate = !parent.isOpen && (span.isOpen || ms(span.endNs) > ms(parent.endNs));
    if (endsLate && !isHandedOver(span, parent)) faults.push(`${of} ends after it`);
    return faults;
  });
}

/**
 * Whether the parent only starts the work and does not wait for it: a request and the operation that it starts, a dispatch and the
 * work on it, a call after its timeout and the other side's work.
 */
function isHandedOver(span: Nested, parent: Nested): boolean {
  if (parent.kind === SERVER) return true;
  if (parent.kind === PRODUCER && span.kind === CONSUMER) return true;
  return parent.kind === CLIENT && span.kind === SERVER && parent.attributes["valet.outcome"] !== "ok";
}

/** Whether the other side received something that was given up: a dispatch that was not accepted, a call without an answer. */
function isTakenLate(span: Nested, parent: Nested): boolean {
  const isOtherSide =
    (parent.kind === PRODUCER && span.kind === CONSUMER) || (parent.kind === CLIENT && span.kind === SERVER);
  return isOtherSide && parent.attributes["valet.outcome"] !== "ok";
}
