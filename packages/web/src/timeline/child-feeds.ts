/** Follows the work of children of a session. Those that stay keep their feed when others come or go: a feed reads all it shows anew. */
import type { FeedState, TimelineFeed } from "./feed.ts";

/** What is used of a feed. */
type Feed = Pick<TimelineFeed, "subscribe" | "read" | "want">;

export class ChildFeeds {
  readonly #makeFeed: (id: string) => Feed;
  readonly #onStates: (states: ReadonlyMap<string, FeedState>) => void;
  readonly #stops = new Map<string, () => void>();
  readonly #states = new Map<string, FeedState>();

  /** @param onStates gets what is known of the children, by their ids, whenever it changes */
  constructor(makeFeed: (id: string) => Feed, onStates: (states: ReadonlyMap<string, FeedState>) => void) {
    this.#makeFeed = makeFeed;
    this.#onStates = onStates;
  }

  /** Follows these children, and no others any more. */
  show(ids: readonly string[]): void {
    let isForgotten = false;
    for (const [id, stop] of [...this.#stops]) {
      if (ids.includes(id)) continue;
      stop();
      this.#stops.delete(id);
      if (this.#states.delete(id)) isForgotten = true;
    }
    for (const id of ids) if (!this.#stops.has(id)) this.#stops.set(id, this.#start(id));
    if (isForgotten) this.#tell();
  }

  #start(id: string): () => void {
    const feed = this.#makeFeed(id);
    return feed.subscribe(() => {
      const state = feed.read();
      feed.want(state.traces.map(({ traceId }) => traceId));
      this.#states.set(id, state);
      this.#tell();
    });
  }

  #tell(): void {
    this.#onStates(new Map(this.#states));
  }
}
