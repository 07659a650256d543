/** The compactions of one run: OpenCode sums up the history in an answer of its own, to a user message of its own. */
import type { FactLog } from "../agent/fact-log.ts";
import { type Ending, OK } from "../agent/facts.ts";
import { deriveSpanId } from "../agent/span-ids.ts";

export interface CompactionsOptions {
  readonly log: FactLog;
  readonly attemptId: string;
  readonly sessionId: string;
  /** The run's `invoke_agent` span. */
  readonly runSpanId: string;
  /** The OpenCode sessions whose history was compacted. Compactions that succeed add to it. */
  readonly compacted: Set<string>;
}

export class Compactions {
  readonly #options: CompactionsOptions;
  /** Spans, by the user message that began the compaction. */
  readonly #spans = new Map<string, string>();

  constructor(options: CompactionsOptions) {
    this.#options = options;
  }

  /** Whether the session's history was compacted, in this run or before. */
  get hasCompacted(): boolean {
    return this.#options.compacted.has(this.#options.sessionId);
  }

  /** Begins a compaction, unless it has begun. @param auto whether OpenCode compacts by itself */
  begin(userMessageId: string, auto: boolean, startMs: number): void {
    if (this.#spans.has(userMessageId)) return;
    const { log, attemptId, sessionId, runSpanId } = this.#options;
    const spanId = deriveSpanId(attemptId, sessionId, userMessageId, "compaction");
    this.#spans.set(userMessageId, spanId);
    log.begin("valet.compaction", spanId, runSpanId, startMs, {
      "valet.compaction.auto": auto,
      "gen_ai.agent.name": "compaction",
      "valet.opencode.session.id": sessionId,
      "valet.opencode.message.id": userMessageId,
    });
  }

  /** Returns the span of the compaction that a user message began; `undefined` if it began none. */
  spanOf(userMessageId: string): string | undefined {
    return this.#spans.get(userMessageId);
  }

  /** Ends the compaction whose answer is complete. Has no effect if the user message began none. */
  end(userMessageId: string, endMs: number, ending: Ending = OK): void {
    const spanId = this.#spans.get(userMessageId);
    if (spanId === undefined) return;
    const { log, sessionId, compacted } = this.#options;
    log.end(spanId, endMs, ending);
    if (ending.outcome === "ok") compacted.add(sessionId);
  }
}
