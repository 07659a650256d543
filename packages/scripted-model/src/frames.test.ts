import fc from "fast-check";
import { expect, test } from "vitest";
import { type Delta, framesOf } from "./frames.ts";
import type { Reply } from "./scenario.ts";

function deltas(reply: Reply): Delta[] {
  return [...framesOf(reply, () => "call_1")].flatMap((frame) => (frame.type === "delta" ? [frame.delta] : []));
}

test("the pieces of a text join to the text, and none splits a character", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", minLength: 1, maxLength: 200 }), (text) => {
      const pieces = deltas([{ text }]).map((delta) => delta.content ?? "");
      expect(pieces.join("")).toBe(text);
      expect(pieces.every((piece) => piece.isWellFormed())).toBe(true);
    }),
  );
});

test("the pieces of a tool call's arguments join to its JSON, also with parallel calls", () => {
  const calls = fc.array(fc.dictionary(fc.string(), fc.jsonValue()), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(calls, (argumentsOfCalls) => {
      const reply = argumentsOfCalls.map((value, index) => ({ tool: `tool${index}`, arguments: value as never }));
      const pieces = deltas(reply).flatMap((delta) => delta.tool_calls ?? []);
      argumentsOfCalls.forEach((value, index) => {
        const own = pieces.filter((piece) => piece.index === index);
        expect(own[0]).toMatchObject({ id: "call_1", type: "function", function: { name: `tool${index}` } });
        expect(own.map((piece) => piece.function.arguments).join("")).toBe(JSON.stringify(value));
      });
    }),
  );
});

test("a text with a pace waits between its pieces and neither before nor after", () => {
  const frames = [...framesOf([{ text: "0123456789abcdef0123456789abcdef", chunkMs: 7 }], () => "")];
  expect(frames.map((frame) => (frame.type === "wait" ? frame.ms : frame.type))).toEqual([
    "delta",
    7,
    "delta",
    "finish",
  ]);
});

test("the finish reason follows from the steps unless the scenario sets it", () => {
  const last = (reply: Reply) => [...framesOf(reply, () => "")].at(-1);
  expect(last([{ text: "a" }])).toMatchObject({ type: "finish", reason: "stop" });
  expect(last([{ tool: "read", arguments: {} }])).toMatchObject({ type: "finish", reason: "tool_calls" });
  expect(last([{ text: "a" }, { finish: "length" }])).toMatchObject({ type: "finish", reason: "length" });
  expect(last([{ text: "a" }, "cut"])).toEqual({ type: "cut" });
});
