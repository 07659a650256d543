/**
 * The verdict on the session, and whether it needs attention. What changes the session is projected with the verdict of that moment.
 * Time alone can change a verdict, too, so the object's alarm looks at it again when it may change next, and more often while
 * something is silent, since what is heard then changes no session. The projection to D1 stores which attention it wrote last, so the
 * look survives an eviction and costs a write only when attention begins, changes or ends.
 */
import { MIN_QUIET_MS } from "@valet/shared/answers/verdict/durations";
import type { SessionFacts } from "@valet/shared/answers/verdict/facts";
import { nextChangeMs } from "@valet/shared/answers/verdict/judge";
import { attentionKey, verdictOf } from "@valet/shared/answers/verdict/verdict";
import { ATTENTION_STATES, type VerdictView } from "@valet/shared/protocol/verdict";
import type { TypicalTimes } from "./typical-times.ts";

/** A verdict that what is heard may end. */
const SILENT: readonly string[] = ["quiet", "stuck"];

export interface AttentionOptions {
  /** Reads the facts; `undefined` before the session is created. */
  readonly facts: (nowMs: number) => SessionFacts | undefined;
  readonly typical: Pick<TypicalTimes, "isIncomplete" | "load">;
  /** Returns the `attentionKey` that was projected last. */
  readonly projectedKey: () => string;
  /** Records a change of the session, so that it is projected and sent to clients. */
  readonly changed: () => void;
  readonly background: (work: Promise<void>) => void;
  readonly now: () => number;
  readonly report: (error: unknown) => void;
}

export class Attention {
  readonly #options: AttentionOptions;
  /** When the verdict may change by itself, epoch ms; `null` if it cannot; unknown until the verdict has been looked at. */
  #dueMs: number | null | undefined;
  #isSilent = false;
  /** The key for which a projection was requested. */
  #requestedKey: string | undefined;

  constructor(options: AttentionOptions) {
    this.#options = options;
  }

  /** Returns the verdict, with the facts that it is made from; `undefined` before the session is created. */
  look(): { readonly verdict: VerdictView; readonly facts: SessionFacts } | undefined {
    const { facts: read, typical, now } = this.#options;
    const nowMs = now();
    const facts = read(nowMs);
    if (facts === undefined) return undefined;
    const verdict = verdictOf(facts, nowMs);
    // What is usual is read only for steps that take a while. No threshold is below that time.
    const loadMs = typical.isIncomplete ? nowMs + MIN_QUIET_MS : Infinity;
    const dueMs = Math.min(nextChangeMs(facts, nowMs) ?? Infinity, loadMs);
    this.#dueMs = dueMs === Infinity ? null : dueMs;
    this.#isSilent = SILENT.includes(verdict.state);
    return { verdict, facts };
  }

  /** Returns the verdict if the session needs attention. */
  view(): VerdictView | undefined {
    const { verdict } = this.look() ?? {};
    const needsIt = verdict !== undefined && (ATTENTION_STATES as readonly string[]).includes(verdict.state);
    return needsIt ? verdict : undefined;
  }

  /** Returns when the alarm must fire to look again, epoch ms. */
  dueAtMs(): number | undefined {
    if (this.#dueMs === undefined) this.look();
    return this.#dueMs ?? undefined;
  }

  /**
   * Looks at the verdict if it may have changed by time alone, and records a change of the session if its attention is another than
   * was projected. Never throws.
   */
  check(): void {
    const { typical, background, now, report } = this.#options;
    const isDue = this.#dueMs === undefined || (this.#dueMs ?? Infinity) <= now();
    if (!isDue && !this.#isSilent) return;
    try {
      this.#compare();
      // What is usual for the steps may be known only now.
      if (typical.isIncomplete) background(this.#compareLater());
    } catch (error) {
      report(error);
    }
  }

  /** Compares again once it is known what is usual. Never rejects: the session may be deleted meanwhile. */
  async #compareLater(): Promise<void> {
    const { typical, report } = this.#options;
    try {
      await typical.load();
      this.#compare();
    } catch (error) {
      report(error);
    }
  }

  #compare(): void {
    const { projectedKey, changed } = this.#options;
    const key = attentionKey(this.view());
    if (key === projectedKey()) {
      this.#requestedKey = undefined;
    } else if (key !== this.#requestedKey) {
      // Requested once: while D1 is away, its durable call repeats itself.
      this.#requestedKey = key;
      changed();
    }
  }
}
