/** What has been added to a part of the agent's answer, in place of all of it. Pure. */
import { z } from "zod";
import { type MessagePart, PartId } from "./message-part.ts";

/**
 * From UTF-16 code unit `from` on, the part's field is `text`. Applied twice it is as applied once; whoever has less of the part
 * than `from` has missed something, and waits for the whole of it.
 */
export const PartDelta = z.object({
  partId: PartId,
  /** Of a text or reasoning `text`, of a tool `output`. */
  field: z.enum(["text", "output"]),
  from: z.int().nonnegative(),
  text: z.string(),
});
export type PartDelta = z.infer<typeof PartDelta>;

/** A part that is shorter is told whole: that costs little, and heals whatever was missed. In UTF-16 code units. */
const MIN_LENGTH = 1024;

/** What makes `after` of `before`; `undefined` where it is not told more briefly than by `after` itself. */
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

/** The part with what was added; `undefined` where that does not fit to it. */
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
