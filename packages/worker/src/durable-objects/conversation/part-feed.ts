/**
 * The latest parts of the answers of running attempts. It applies the runner's deltas to them, computes the events for the clients,
 * and yields the events that a new client needs first. It is kept in memory only: the runner sends each part whole from time to
 * time, which repairs it after an eviction.
 */
import type { ClientEvent } from "@valet/shared/protocol/client-socket";
import type { MessagePart } from "@valet/shared/protocol/message-part";
import { applyPartDelta, partDelta } from "@valet/shared/protocol/part-delta-codec";
import type { FromRunnerOf } from "@valet/shared/protocol/runner-link";

/** The size of one attempt's parts, in UTF-16 code units. A part that does not fit is passed on, but not kept. */
const MAX_LENGTH = 512 * 1024;
/** The size of all events that a new client receives first, in UTF-16 code units. */
const MAX_SNAPSHOT_LENGTH = 1024 * 1024;

interface AttemptParts {
  readonly messageId: string;
  readonly parts: Map<string, MessagePart>;
  length: number;
}

export interface PartUpdate {
  readonly part: MessagePart;
  readonly event: ClientEvent;
}

export class PartFeed {
  readonly #attempts = new Map<string, AttemptParts>();

  /**
   * Applies a frame.
   * @param messageId the id of the job that the part answers
   * @returns the part as it is now, and the event for clients; `undefined` if the frame is a delta to an unknown part
   */
  apply(messageId: string, frame: FromRunnerOf<"part" | "part-delta">): PartUpdate | undefined {
    const known = this.#attempts.get(frame.attemptId) ?? { messageId, parts: new Map(), length: 0 };
    const before = known.parts.get(frame.type === "part" ? frame.part.id : frame.delta.partId);
    const part = frame.type === "part" ? frame.part : applyPartDelta(before, frame.delta);
    if (part === undefined) return undefined;
    this.#attempts.set(frame.attemptId, known);
    const length = known.length + lengthOf(part) - (before === undefined ? 0 : lengthOf(before));
    if (length <= MAX_LENGTH) {
      known.parts.set(part.id, part);
      known.length = length;
    } else if (before !== undefined) {
      known.parts.delete(part.id);
      known.length -= lengthOf(before);
    }
    const delta = partDelta(before, part);
    const event: ClientEvent =
      delta === undefined ? { type: "part", messageId, part } : { type: "part-delta", messageId, delta };
    return { part, event };
  }

  /** Removes the parts of an attempt that has ended: the answer is stored with its message. */
  forget(attemptId: string): void {
    this.#attempts.delete(attemptId);
  }

  /** Returns the events that a new client receives first, so that it can apply later deltas. */
  snapshot(): ClientEvent[] {
    const events: ClientEvent[] = [];
    let left = MAX_SNAPSHOT_LENGTH;
    for (const { messageId, parts } of this.#attempts.values()) {
      for (const part of parts.values()) {
        left -= lengthOf(part);
        if (left < 0) return events;
        events.push({ type: "part", messageId, part });
      }
    }
    return events;
  }
}

function lengthOf(part: MessagePart): number {
  return part.type === "tool" ? (part.input?.length ?? 0) + (part.output?.length ?? 0) : part.text.length;
}
