/**
 * Receives the runner's span frames: batches those in quick succession, stores them, and acknowledges them by number.
 */
import type { FromRunnerOf, ToRunner } from "@valet/shared/protocol/runner-link";
import type { TurnSummary } from "@valet/shared/protocol/turn";
import type { Changes } from "../core/changes.ts";
import type { Transactions } from "../core/transactions.ts";
import { type ReceivedFrame, TraceFrames } from "./trace-frames.ts";
import type { TraceStore } from "./trace-store.ts";

/** The progress that a span frame carries besides spans. */
export interface ProgressEvent {
  readonly type: "progress";
  readonly attemptId: string;
  /** The attempt's summary so far. */
  readonly summary: TurnSummary;
}

export interface RunnerSpansOptions {
  readonly traces: Pick<TraceStore, "acceptFrames">;
  readonly transactions: Transactions;
  readonly changes: Changes;
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
  add(frame: FromRunnerOf<"spans">): void {
    if (this.#options.tracing) this.#frames.add(frame);
    else this.#acknowledge(frame.instanceId, frame.seq);
  }

  /** Stores the received spans that wait for others. */
  flush(): void {
    this.#frames.flush();
  }

  #keep(frames: readonly ReceivedFrame[]): void {
    const { traces, changes, transactions, record, report } = this.#options;
    try {
      transactions.run(() => {
        transactions.onRollback(() => this.#frames.putBack(frames));
        for (const [instanceId, seq] of traces.acceptFrames(frames)) this.#acknowledge(instanceId, seq);
        for (const { otlp, open = [], progress = [] } of frames) {
          for (const traceId of traceIdsIn(otlp, ...open)) changes.trace(traceId);
          for (const { attemptId, summary } of progress) record({ type: "progress", attemptId, summary });
        }
      });
    } catch (error) {
      report(error);
    }
  }

  #acknowledge(instanceId: string, seq: number): void {
    const { transactions, link } = this.#options;
    transactions.afterCommit(() => link.send({ type: "spans-ack", instanceId, seq }));
  }
}

function traceIdsIn(...texts: string[]): Set<string> {
  const ids = texts.flatMap((text) => Array.from(text.matchAll(/"traceId"\s*:\s*"([0-9a-f]{32})"/g), ([, id]) => id));
  return new Set(ids as string[]);
}
