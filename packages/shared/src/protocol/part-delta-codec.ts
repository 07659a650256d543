/** Makes and applies deltas of an answer's parts. Apart from their schemas, so that a page can do it without the schemas' library. Pure. */
import type { MessagePart } from "./message-part.ts";
import type { PartDelta } from "./part-delta.ts";

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
