/** What lanes show. Pure types. */
import type { Kind } from "../ui/kind.tsx";

/** A bar of a lane. */
export interface Item {
  /** Unique within the timeline. */
  readonly id: string;
  readonly kind: Kind;
  /** A thin bar above the others: its children say more. */
  readonly isShell: boolean;
  /** Epoch ms. */
  readonly startMs: number;
  /** Epoch ms, not before the start; `undefined` while it is open. */
  readonly endMs: number | undefined;
  /** The line within the lane, from 0. */
  readonly row: number;
  /** What it is: the tool's name, the model's. It may come from outside. */
  readonly name: string;
  readonly state: "ok" | "failed" | "lost";
  /** A short text beside the bar; empty for none. */
  readonly label: string;
  readonly messageId?: string | undefined;
  readonly traceId?: string | undefined;
  readonly spanId?: string | undefined;
  /** How many items it stands for, if they are too small to be seen. */
  readonly count?: number;
}

export interface Lane {
  readonly id: string;
  readonly kind: "lifecycle" | "queue" | "channel" | "child";
  /** It may come from outside. */
  readonly title: string;
  readonly note: string;
  /** The channel, or the child session, that it shows. */
  readonly of: string | undefined;
  /** At least 1. */
  readonly rows: number;
  /** In order of their starts. */
  readonly items: readonly Item[];
}

/** What a point of the tokens' lane says: the input of one turn. */
export interface TokenStem {
  readonly atMs: number;
  readonly input: number;
  /** The part that the provider had cached; `null` if it is not known. */
  readonly cached: number | null;
  readonly messageId: string | undefined;
}

/** The cost from a moment on, until the next step. */
export interface CostStep {
  readonly atMs: number;
  readonly usd: number;
}
