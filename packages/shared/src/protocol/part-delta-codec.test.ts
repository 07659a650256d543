import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { MessagePart } from "./message-part.ts";
import { applyPartDelta, partDelta } from "./part-delta-codec.ts";

const long = "x".repeat(2000);
const text = (content: string): MessagePart => ({ type: "text", id: "p1", text: content });
const tool = (output: string, title = "ls"): MessagePart => ({
  type: "tool",
  id: "p1",
  tool: "bash",
  status: "running",
  title,
  input: "{}",
  output,
});

describe("a delta", () => {
  test.each([
    ["text", text(long), text(`${long}more`), { field: "text", from: 2000, text: "more" }],
    ["output", tool(long), tool(`${long}more`), { field: "output", from: 2000, text: "more" }],
    ["nothing", text(long), text(long), { field: "text", from: 2000, text: "" }],
  ])("contains what was added: %s", (_what, before, after, delta) => {
    expect(partDelta(before, after)).toEqual({ partId: "p1", ...delta });
  });

  test.each([
    ["is the first of its part", undefined, text(long)],
    ["is short", text("thin"), text("thinking")],
    ["is another part", { ...text(long), id: "p2" }, text(`${long}more`)],
    ["has become another text", text(`${long}a`), text(`${long}b`)],
    ["has a new title", tool(long, "a"), tool(`${long}more`, "b")],
    ["is of another type", { type: "reasoning", id: "p1", text: long } as const, text(`${long}more`)],
  ])("does not exist if the part %s", (_what, before, after) => {
    expect(partDelta(before, after)).toBeUndefined();
  });

  test("does not apply to a shorter part", () => {
    const delta = partDelta(text(long), text(`${long}more`));
    if (delta === undefined) throw new Error("no delta");
    expect(applyPartDelta(text("x"), delta)).toBeUndefined();
    expect(applyPartDelta(undefined, delta)).toBeUndefined();
    expect(applyPartDelta(tool(long), delta)).toBeUndefined();
  });
});

test("any change reaches a receiver as a delta or whole, and a repeated delta changes nothing", () => {
  const pieces = fc.array(fc.oneof(fc.string({ unit: "binary" }), fc.constant("語".repeat(700))), { maxLength: 12 });
  fc.assert(
    fc.property(pieces, fc.boolean(), (added, isTool) => {
      let content = "";
      let before: MessagePart | undefined;
      let followed: MessagePart | undefined;
      for (const piece of added) {
        content += piece;
        const after = isTool ? tool(content) : text(content);
        const delta = partDelta(before, after);
        followed = delta === undefined ? after : applyPartDelta(followed, delta);
        if (delta !== undefined) followed = applyPartDelta(followed, delta);
        expect(followed).toEqual(after);
        before = after;
      }
    }),
  );
});
