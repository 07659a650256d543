/** What lanes show. Pure types. */
import type { SkeletonUsage } from "@valet/shared/protocol/skeleton-codec";
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
  /** Of what was lost: the last sign of life of its runner, epoch ms, from its start to its end. Nothing is known of the time after it. */
  readonly heardMs?: number | undefined;
  /** Of a model call that has ended. */
  readonly usage?: SkeletonUsage | undefined;
  /** Whether its cost is a lower bound. */
  readonly isCostPartial?: boolean | undefined;
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

/** What a stem of the tokens' lane says: the input of one model call; of a turn whose calls have not been read, the mean of its calls. */
export interface TokenStem {
  readonly atMs: number;
  readonly input: number;
  /** Of how many calls it is the mean. */
  readonly calls: number;
  /** The part that the provider had cached; `null` if it is not known. */
  readonly cached: number | null;
  readonly messageId: string | undefined;
}

/** The cost from a moment on, until the next step. */
export interface CostStep {
  readonly atMs: number;
  readonly usd: number;
}
