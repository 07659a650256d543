/**
 * How long steps of the owner's work usually take, as far as D1 has told: read when a verdict needs it, cached in memory, and replaced
 * by defaults until then.
 */

import { type Typical, typicalOf } from "@valet/shared/answers/verdict/durations";
import type { StepKind } from "@valet/shared/answers/verdict/facts";
import { readStepDurations, type StepKey } from "../../database/step-durations.ts";
import { isRecent } from "../core/recent.ts";

/** How long an answer of D1 is good for, in ms. */
const CACHED_MS = 10 * 60_000;
/** How many tools and models are cached. */
const MAX_CACHED = 100;

export interface TypicalTimesOptions {
  readonly db: D1Database;
  readonly ownerId: () => string;
  readonly now: () => number;
  readonly report: (error: unknown) => void;
}

export class TypicalTimes {
  readonly #options: TypicalTimesOptions;
  readonly #cached = new Map<string, { readonly samples: readonly number[]; readonly readMs: number }>();
  /** What was asked for and is not cached. */
  readonly #missing = new Map<string, StepKey>();

  constructor(options: TypicalTimesOptions) {
    this.#options = options;
  }

  /** Returns how long such steps take, as far as that is known. */
  readonly of = (kind: StepKind, name: string): Typical => {
    if ((kind !== "tool" && kind !== "model") || name === "") return typicalOf(kind, name);
    const id = idOf({ kind, name });
    const cached = this.#cached.get(id);
    const isFresh = cached !== undefined && isRecent(cached.readMs, this.#options.now(), CACHED_MS);
    if (!isFresh && this.#missing.size < MAX_CACHED) this.#missing.set(id, { kind, name });
    return typicalOf(kind, name, cached?.samples);
  };

  /** Whether something was asked for that {@link load} would read. */
  get isIncomplete(): boolean {
    return this.#missing.size > 0;
  }

  /** Reads what was asked for. Never rejects: without D1 the defaults hold. */
  async load(): Promise<void> {
    const { db, ownerId, now, report } = this.#options;
    const wanted = [...this.#missing];
    if (wanted.length === 0) return;
    this.#missing.clear();
    const keys = wanted.map(([, key]) => key);
    const found = await readStepDurations(db, ownerId(), keys).catch((error: unknown) => {
      report(error);
      return [];
    });
    if (this.#cached.size + wanted.length > MAX_CACHED) this.#cached.clear();
    const samplesOf = new Map(found.map((each) => [idOf(each), each.samples]));
    for (const [id] of wanted) this.#cached.set(id, { samples: samplesOf.get(id) ?? [], readMs: now() });
  }
}

const idOf = ({ kind, name }: StepKey) => `${kind} ${name}`;
