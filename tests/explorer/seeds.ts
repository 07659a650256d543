/** What a test puts into the databases of a running system: see `seeding-worker.ts`. Plain data, sent as JSON. */
import type { MessagePart } from "../../packages/shared/src/protocol/message-part.ts";
import type { RunnerWarning } from "../../packages/shared/src/protocol/warnings.ts";
import type { Outcome } from "../../packages/shared/src/spans/outcomes.ts";

export const SEED_PATH = "/seed";

/** A message that is done, with its answer. */
export interface MessageSeed {
  readonly id: string;
  readonly content: string;
  /** Epoch ms. */
  readonly atMs: number;
  /** Two seconds if omitted. */
  readonly lastedMs?: number;
  readonly parts: readonly MessagePart[];
  readonly channel?: string;
  readonly author?: string;
  readonly outcome?: Outcome;
}

/** A workflow of commands that is done. */
export interface WorkflowSeed {
  readonly id: string;
  readonly name: string;
  /** Epoch ms. */
  readonly atMs: number;
  readonly lastedMs: number;
  readonly channel: string;
  readonly steps: readonly { readonly name: string; readonly run: string; readonly exitCode: number }[];
}

/** A span frame as a runner sends it: OTLP/JSON of ended spans, and open spans as `serialiseSpan` writes them. */
export interface FrameSeed {
  readonly otlp: string;
  readonly open: readonly string[];
}

/** A session whose sandbox sleeps: nothing of it starts by itself. */
export interface SessionSeed {
  readonly id: string;
  readonly ownerId: string;
  readonly title?: string;
  readonly repoUrl?: string;
  readonly branch?: string;
  readonly model?: string;
  /** The session that has spawned it. */
  readonly parentSessionId?: string;
  /** Of its last sandbox. */
  readonly warnings?: readonly RunnerWarning[];
  readonly messages: readonly MessageSeed[];
  /** After its messages. */
  readonly workflows?: readonly WorkflowSeed[];
  readonly frames: readonly FrameSeed[];
  /** A trace of so many spans, which began at a time, epoch ms. */
  readonly trace?: { readonly spans: number; readonly startMs: number };
}

/** A statement for D1. */
export interface StatementSeed {
  readonly sql: string;
  readonly params: readonly (string | number | null)[];
}

export interface Seed {
  readonly sessions: readonly SessionSeed[];
  readonly statements: readonly StatementSeed[];
}
