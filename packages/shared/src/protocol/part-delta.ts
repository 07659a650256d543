/** Deltas of the agent's answer: what was added to a part, instead of the whole part. Pure. */
import { z } from "zod";
import { type MessagePart, PartId } from "./message-part.ts";

/**
 * A delta: from UTF-16 code unit `from` on, the part's field is `text`. Applying it is idempotent. A receiver with less of the part
 * than `from` has missed something, and waits for the whole part.
 */
export const PartDelta = z.object({
  partId: PartId,
  /** `text` of a text or reasoning part, `output` of a tool part. */
  field: z.enum(["text", "output"]),
  from: z.int().nonnegative(),
  text: z.string(),
});
export type PartDelta = z.infer<typeof PartDelta>;

/** Shorter parts are sent whole, which costs little and repairs whatever was missed. In UTF-16 code units. */
const MIN_LENGTH = 1024;

/** Returns the delta from `before` to `after`; `undefined` if `after` has to be sent whole. */
export function partDelta(before: MessagePart | undefined, after: MessagePart): PartDelta | undefined {
  if (before === undefined || before.id !== after.id || before.type !== after.type) return undefined;
  const field = after.type === "tool" ? "output" : "text";
  const [old, text] = [textOf(before), textOf(after)];
  if (text.length < MIN_LENGTH || !text.startsWith(old)) return undefined;
  if (after.type === "tool" && JSON.stringify({ ...before, output: "" }) !== JSON.stringify({ ...after, output: "" })) {
    return undefined;
  }
  return { partId: after.id, field, from: old.length, text: text.slice(old.length) };
}

/** Returns the part with the addition; `undefined` if the delta does not apply to it. */
export function applyPartDelta(part: MessagePart | undefined, delta: PartDelta): MessagePart | undefined {
  if (part === undefined || part.id !== delta.partId || (part.type === "tool") !== (delta.field === "output")) {
    return undefined;
  }
  const old = textOf(part);
  if (old.length < delta.from) return undefined;
  const text = old.slice(0, delta.from) + delta.text;
  return part.type === "tool" ? { ...part, output: text } : { ...part, text };
}

function textOf(part: MessagePart): string {
  return part.type === "tool" ? (part.output ?? "") : part.text;
}
