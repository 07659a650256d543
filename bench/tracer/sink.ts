import { BATCH } from "./workload.ts";

/** Where ended spans go: it holds up to `most` and then lets go of all of them. */
export class Sink {
  kept: unknown[] = [];
  /** How many spans have come, so that no contender is quick by losing some. */
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
