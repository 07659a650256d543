import type { Sink } from "./sink.ts";
import type { Input } from "./workload.ts";

/**
 * Records one span for each input. Each contender has its own loop, since a shared loop would be compiled for all of
 * them.
 */
export type Record = (inputs: readonly Input[]) => void;

/** One tracer, set up as its documentation says, with default limits and sampler. */
export interface Contender {
  readonly name: string;
  /** Passes ended spans directly to the sink. */
  toSink(sink: Sink): Record;
  /** Passes ended spans through the contender's own batching; its exporter passes each batch to the sink. */
  toBatches(sink: Sink): Record | Promise<Record>;
  /** Records spans and returns a function that encodes them as one OTLP/JSON request in UTF-8. */
  encoder(inputs: readonly Input[]): Promise<() => Uint8Array>;
}

/** A disabled tracer. */
export interface Disabled {
  readonly name: string;
  /** Starts `count` spans, sets an attribute on each and ends them; returns how many continued their parent's trace. */
  run(count: number): number;
  /** The same with one options object for all spans, so that only the tracer's allocations count, not the caller's. */
  runWithSharedOptions(count: number): number;
}
