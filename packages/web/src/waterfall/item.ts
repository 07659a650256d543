/** A span in its place in the trace. Pure types. Times are µs since 1970. */
import type { SkeletonSpan } from "@valet/shared/protocol/skeleton-codec";
import type { Kind } from "../ui/kind.tsx";

/** The end is after the start, and `OPEN_US` where the span is open. */
export type Period = readonly [startUs: number, endUs: number];

/** What is odd about a span's place in the trace. */
export type Oddity =
  | { readonly type: "missing-parent"; readonly parentSpanId: string }
  | { readonly type: "own-parent" }
  | { readonly type: "cycle" }
  | { readonly type: "self-link" }
  /** It begins before its parent: their clocks differ. */
  | { readonly type: "early"; readonly byUs: number };

export interface Item {
  readonly traceId: string;
  readonly span: SkeletonSpan;
  readonly kind: Kind;
  /** 0 for a root. */
  readonly depth: number;
  /** Among its siblings, or among the tops, from 1. */
  readonly place: number;
  readonly parent: Item | undefined;
  /** In the order of their starts. */
  readonly children: Item[];
  readonly oddities: readonly Oddity[];
  /** What makes its times those of the Worker's clock, by which ages are; 0 unless its process's clock is known to differ. */
  readonly shiftUs: number;
  /** The periods in which the trace waited for this very span; none until `withCriticalPath` has found them. */
  readonly critical: readonly Period[];
}
