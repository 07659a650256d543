/**
 * Receives the runner's span frames: batches those in quick succession, stores them, and acknowledges them by number.
 */
import type { ToRunner } from "@valet/shared/protocol/runner-link";
import type { SpanFrame, SpansAck } from "@valet/shared/protocol/span-frame";
import type { TurnSummary } from "@valet/shared/protocol/turn";
import type { Transactions } from "../core/transactions.ts";
import { TraceFrames } from "./trace-frames.ts";
import type { TraceStore } from "./trace-store.ts";

/** The progress that a span frame carries besides spans. */
export interface ProgressEvent {
  readonly type: "progress";
  readonly attemptId: string;
  /** The attempt's summary so far. */
  readonly summary: TurnSummary;
}

export interface RunnerSpansOptions {
  readonly traces: Pick<TraceStore, "acceptFrames" | "store" | "reload">;
  readonly transactions: Transactions;
  readonly link: { send(frame: ToRunner): boolean };
  readonly record: (event: ProgressEvent) => void;
  /** Nothing is stored while tracing is off. */
  readonly tracing: boolean;
  readonly report: (error: unknown) => void;
}

export class RunnerSpans {
  readonly #options: RunnerSpansOptions;
  readonly #frames = new TraceFrames((frames) => this.#keep(frames));

  constructor(options: RunnerSpansOptions) {
    this.#options = options;
  }

  /** Acknowledges and drops frames while tracing is off, since a runner may send spans before it learns of that. */
  add(frame: SpanFrame): void {
    if (this.#options.tracing) this.#frames.add(frame);
    else this.#acknowledge(frame);
  }

  /** Stores the received spans that wait for others. Within a transaction an error does not prevent the rest of it. */
  flush(): void {
    this.#options.traces.store();
    this.#frames.flush();
  }

  /**
   * Stores, within the running transaction, the span frame that the end of an attempt carried, after those that wait for others. An
   * error does not prevent that end.
   * @returns what to acknowledge with the end; `undefined` after an error
   */
  take(carried: SpanFrame): SpansAck | undefined {
    const { traces, tracing } = this.#options;
    const { instanceId, seq } = carried;
    if (!tracing) return { instanceId, seq };
    traces.store();
    const durable = this.#store([...this.#frames.take(), carried]);
    for (const [other, last] of durable ?? []) {
      if (other !== instanceId) this.#acknowledge({ instanceId: other, seq: last });
    }
    return durable && { instanceId, seq: durable.get(instanceId) ?? seq };
  }

  #keep(frames: readonly SpanFrame[]): void {
    const { transactions, report } = this.#options;
    try {
      transactions.run(() => {
        for (const [instanceId, seq] of this.#store(frames) ?? []) this.#acknowledge({ instanceId, seq });
      });
    } catch (error) {
      report(error);
    }
  }

  /**
   * Stores frames within the running transaction, whose own spans must be stored by then. After an error it goes on without them: then
   * they are stored later, and acknowledged by themselves.
   */
  #store(frames: readonly SpanFrame[]): ReadonlyMap<string, number> | undefined {
    const { traces, transactions, report } = this.#options;
    try {
      return transactions.runPart(() => this.#accept(frames));
    } catch (error) {
      traces.reload();
      report(error);
      return undefined;
    }
  }

  /** @returns the number up to which each instance's frames are durable after the commit */
  #accept(frames: readonly SpanFrame[]): ReadonlyMap<string, number> {
    const { traces, transactions, record } = this.#options;
    transactions.onRollback(() => this.#frames.putBack(frames));
    const durable = traces.acceptFrames(frames);
    for (const { progress = [] } of frames) {
      for (const { attemptId, summary } of progress) {
        if (summary !== undefined) record({ type: "progress", attemptId, summary });
      }
    }
    return durable;
  }

  #acknowledge({ instanceId, seq }: SpansAck): void {
    const { transactions, link } = this.#options;
    transactions.afterCommit(() => link.send({ type: "spans-ack", instanceId, seq }));
  }
}
