/**
 * Turns the parts of an answer into frames: mostly only what was added to a part, and regularly the whole part, since parts are
 * not acknowledged and may be lost.
 */
import type { MessagePart } from "@valet/shared/protocol/message-part";
import { partDelta } from "@valet/shared/protocol/part-delta-codec";
import type { FromRunnerOf } from "@valet/shared/protocol/runner-link";

/** The interval at which a part is sent whole, which limits how long a view lacks a lost addition. */
const WHOLE_EVERY_MS = 5_000;
/** The maximum number of parts to remember; fewer grow at the same time. */
const MAX_PARTS = 100;

interface Told {
  readonly part: MessagePart;
  /** When it was last sent whole. */
  readonly wholeMs: number;
}

export class PartStream {
  readonly #told = new Map<string, Told>();
  readonly #now: () => number;

  /** @param now milliseconds of a monotonic clock */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Returns the frame with the current state of a part. */
  frame(attemptId: string, part: MessagePart): FromRunnerOf<"part" | "part-delta"> {
    const key = `${attemptId} ${part.id}`;
    const told = this.#told.get(key);
    const nowMs = this.#now();
    const isDue = told === undefined || nowMs - told.wholeMs >= WHOLE_EVERY_MS;
    const delta = isDue ? undefined : partDelta(told.part, part);
    // Deleted first, so the map's order is that of the last frame.
    this.#told.delete(key);
    this.#told.set(key, { part, wholeMs: delta === undefined ? nowMs : (told?.wholeMs ?? nowMs) });
    for (const oldest of this.#told.keys()) {
      if (this.#told.size <= MAX_PARTS) break;
      this.#told.delete(oldest);
    }
    return delta === undefined ? { type: "part", attemptId, part } : { type: "part-delta", attemptId, delta };
  }
}
