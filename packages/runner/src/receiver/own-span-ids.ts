/** The ids of the runner's own last spans, which no span of a command may take. */

/** A session's turn has some hundreds of spans. */
const MAX_IDS = 20_000;

export class OwnSpanIds {
  readonly #ids = new Set<string>();
  readonly #maxIds: number;

  constructor(maxIds = MAX_IDS) {
    this.#maxIds = maxIds;
  }

  add(spanId: string): void {
    this.#ids.delete(spanId);
    this.#ids.add(spanId);
    if (this.#ids.size <= this.#maxIds) return;
    for (const oldest of this.#ids) {
      this.#ids.delete(oldest);
      return;
    }
  }

  has(spanId: string): boolean {
    return this.#ids.has(spanId);
  }
}
