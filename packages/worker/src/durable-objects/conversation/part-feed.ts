/**
 * The parts of answers as they were last heard, of the attempts in work: what a delta of the runner is applied to, what clients
 * are told of it, and what a client that comes in the middle is told first. In memory alone: after an eviction the runner tells
 * each part whole before long.
 */
import type { ClientEvent } from "@valet/shared/protocol/client-socket";
import type { MessagePart } from "@valet/shared/protocol/message-part";
import { applyPartDelta, partDelta } from "@valet/shared/protocol/part-delta";
import type { FromRunnerOf } from "@valet/shared/protocol/runner-link";

/** Of one attempt, in UTF-16 code units. A part that does not fit is passed on and not kept. */
const MAX_LENGTH = 512 * 1024;
/** Of all that a client is told when it comes. */
const MAX_SNAPSHOT_LENGTH = 1024 * 1024;

interface Heard {
  readonly messageId: string;
  readonly parts: Map<string, MessagePart>;
  length: number;
}

export interface HeardPart {
  readonly part: MessagePart;
  readonly event: ClientEvent;
}

export class PartFeed {
  readonly #attempts = new Map<string, Heard>();

  /**
   * Takes a frame.
   * @param messageId of the message or workflow that the part answers
   * @returns the part as it is now; `undefined` where the frame says what was added to a part that is not here
   */
  hear(messageId: string, frame: FromRunnerOf<"part" | "part-delta">): HeardPart | undefined {
    const heard = this.#attempts.get(frame.attemptId) ?? { messageId, parts: new Map(), length: 0 };
    const before = heard.parts.get(frame.type === "part" ? frame.part.id : frame.delta.partId);
    const part = frame.type === "part" ? frame.part : applyPartDelta(before, frame.delta);
    if (part === undefined) return undefined;
    this.#attempts.set(frame.attemptId, heard);
    const length = heard.length + lengthOf(part) - (before === undefined ? 0 : lengthOf(before));
    if (length <= MAX_LENGTH) {
      heard.parts.set(part.id, part);
      heard.length = length;
    } else if (before !== undefined) {
      heard.parts.delete(part.id);
      heard.length -= lengthOf(before);
    }
    const delta = partDelta(before, part);
    const event: ClientEvent =
      delta === undefined ? { type: "part", messageId, part } : { type: "part-delta", messageId, delta };
    return { part, event };
  }

  /** The attempt is over: its answer is with its message. */
  forget(attemptId: string): void {
    this.#attempts.delete(attemptId);
  }

  /** What a client is told when it comes, so that it can follow. */
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
