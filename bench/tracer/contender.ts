import type { Sink } from "./sink.ts";
import type { Input } from "./workload.ts";

/** Records one span for each input, in a loop of its contender's own: a shared one would be compiled for all of them. */
export type Record = (inputs: readonly Input[]) => void;

/** One tracer, set up as its documentation says, with all limits and samplers at their defaults. */
export interface Contender {
  readonly name: string;
  /** Ended spans go straight to the sink. */
  toSink(sink: Sink): Record;
  /** Ended spans go through the contender's own batching; its exporter hands each batch to the sink. */
  toBatches(sink: Sink): Record | Promise<Record>;
  /** Records spans and gives back what encodes them as one OTLP/JSON request in UTF-8. */
  encoder(inputs: readonly Input[]): Promise<() => Uint8Array>;
}

/** A tracer that is switched off. */
export interface Disabled {
  readonly name: string;
  /** Starts, sets an attribute on and ends `count` spans; returns how many carried their parent's trace on. */
  run(count: number): number;
  /** The same with options made once for all spans: what is allocated then is the tracer's doing, not the caller's. */
  runWithSharedOptions(count: number): number;
}
