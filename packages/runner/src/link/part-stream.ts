/**
 * Parts of an answer as they go over the link: what was added to them, and now and then the whole of them, since nobody says
 * that a part has arrived.
 */

import type { MessagePart } from "@valet/shared/protocol/message-part";
import { partDelta } from "@valet/shared/protocol/part-delta";
import type { FromRunnerOf } from "@valet/shared/protocol/runner-link";

/** After this long a part is told whole again: as long as a view may lack something that was lost. */
const WHOLE_EVERY_MS = 5_000;
/** More parts do not grow at once. */
const MAX_PARTS = 100;

interface Told {
  readonly part: MessagePart;
  /** When it was last told whole. */
  readonly wholeMs: number;
}

export class PartStream {
  readonly #told = new Map<string, Told>();
  readonly #now: () => number;

  /** @param now milliseconds of a clock that goes forward */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** The frame that tells what a part is by now. */
  frame(attemptId: string, part: MessagePart): FromRunnerOf<"part" | "part-delta"> {
    const key = `${attemptId} ${part.id}`;
    const told = this.#told.get(key);
    const nowMs = this.#now();
    const isDue = told === undefined || nowMs - told.wholeMs >= WHOLE_EVERY_MS;
    const delta = isDue ? undefined : partDelta(told.part, part);
    // The one that was told last is the last to be forgotten.
    this.#told.delete(key);
    this.#told.set(key, { part, wholeMs: delta === undefined ? nowMs : (told?.wholeMs ?? nowMs) });
    for (const oldest of this.#told.keys()) {
      if (this.#told.size <= MAX_PARTS) break;
      this.#told.delete(oldest);
    }
    return delta === undefined ? { type: "part", attemptId, part } : { type: "part-delta", attemptId, delta };
  }
}
