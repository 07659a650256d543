import { BATCH } from "./workload.ts";

/** Collects ended spans: holds up to `most`, then drops all of them. */
export class Sink {
  kept: unknown[] = [];
  /** The number of received spans, so that no contender gains by losing some. */
  received = 0;
  readonly #most: number;

  constructor(most: number = BATCH) {
    this.#most = most;
  }

  take(span: unknown): void {
    this.received++;
    this.kept.push(span);
    if (this.kept.length >= this.#most) this.kept = [];
  }

  takeAll(spans: readonly unknown[]): void {
    this.received += spans.length;
  }
}
