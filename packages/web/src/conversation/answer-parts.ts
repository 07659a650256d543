/** Which of two states of an answer is the later one. Answers of the API and events overtake each other. Pure. */
import type { Schemas } from "../api/client.ts";

type Message = Schemas["MessageView"];
type Part = Schemas["MessagePart"];

/** A message goes through these in order; a new attempt begins again with the second. */
const STATUSES = ["queued", "dispatched", "accepted", "done"] as const;
const TOOL_STATUSES = ["pending", "running", "completed", "error"] as const;

/** Returns the parts with one more, or with a newer state of one. */
export function withPart(parts: readonly Part[], part: Part): readonly Part[] {
  const index = parts.findLastIndex(({ id }) => id === part.id);
  return index < 0 ? [...parts, part] : parts.with(index, part);
}

/**
 * Returns the later state of a message. @param isNewest `heard` is the later one; its parts may be older all the same, since they come
 * by events of their own
 */
export function laterMessage(known: Message, heard: Message, isNewest: boolean): Message {
  if (!isNewest && rank(heard) < rank(known)) return known;
  if (heard.status === "done") return heard;
  // An attempt begins with an empty answer.
  if (heard.attempts > known.attempts) return heard;
  return { ...heard, parts: laterParts(known.parts, heard.parts) };
}

function rank({ status, attempts }: Message): number {
  if (status === "done") return Number.POSITIVE_INFINITY;
  // A message that returned to the queue waits for its next attempt.
  return attempts + (status === "queued" ? 0.5 : STATUSES.indexOf(status) / 10);
}

function laterParts(known: readonly Part[], heard: readonly Part[]): Part[] {
  const byId = new Map(known.map((part) => [part.id, part]));
  for (const part of heard) {
    const other = byId.get(part.id);
    byId.set(part.id, other === undefined || progress(part) >= progress(other) ? part : other);
  }
  return [...byId.values()];
}

/** How far a part has come: parts only grow. */
function progress(part: Part): number {
  if (part.type !== "tool") return part.text.length;
  return TOOL_STATUSES.indexOf(part.status) * 1_000_000 + (part.output?.length ?? 0);
}
