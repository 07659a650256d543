import { expect, test } from "vitest";
import { UniqueCallIds } from "./unique-call-ids.ts";

const event = (data: unknown) => `data: ${JSON.stringify(data)}\n\n`;
const calls = (...deltas: object[]) => event({ choices: [{ index: 0, delta: { tool_calls: deltas } }] });
const call = (index: number | undefined, id: string | undefined, text = "{}") => ({
  ...(index === undefined ? {} : { index }),
  ...(id === undefined ? {} : { id }),
  function: { name: "bash", arguments: text },
});

/** Passes a text on in pieces of some bytes, and to its end. */
function pass(text: string, size: number): string {
  const ids = new UniqueCallIds();
  const bytes = new TextEncoder().encode(text);
  const passed: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += size) passed.push(ids.pass(bytes.subarray(at, at + size)));
  return Buffer.concat([...passed, ids.end()]).toString();
}

const idsOf = (text: string) =>
  text
    .split("\n")
    .filter((line) => line.startsWith("data: {"))
    .flatMap((line) => JSON.parse(line.slice(6)).choices[0].delta.tool_calls ?? [])
    .map((each: { index?: number; id?: string }) => [each.index, each.id]);

test.each([1, 7, 100_000])("calls that share an id get one each, read in pieces of %i bytes", (size) => {
  const text = `${calls(call(0, "c", "Hä"))}${calls(call(0, undefined), call(1, "c"))}${calls(call(2, "c_2"), call(3, "c"))}`;
  const more = `${calls(call(1, "c"), call(0, "c"))}data: [DONE]\n\n`;
  expect(idsOf(pass(text + more, size))).toEqual([
    [0, "c"],
    [0, undefined],
    [1, "c_2"],
    [2, "c_2_2"],
    [3, "c_3"],
    [1, "c_2"],
    [0, "c"],
  ]);
  expect(idsOf(pass(calls(call(0, ""), call(1, ""), call(2, "")), size))).toEqual([
    [0, ""],
    [1, "call_2"],
    [2, "call_3"],
  ]);
});

test.each([
  ["calls with ids of their own", `${calls(call(0, "a", "Hä"), call(1, "b"))}data: [DONE]\n\n`],
  ["calls without a place", calls(call(undefined, "a"), call(undefined, "a"))],
  ["what is no JSON", 'data: {"tool_calls"\n\ndata: "tool_calls"\n\ndata: [{"tool_calls":1}]\n\n'],
  ["another shape", event({ choices: [null, { delta: { tool_calls: {} } }] })],
  ["a text that mentions them", event({ choices: [{ delta: { content: '"tool_calls"' } }] })],
  ["a last line without an end", `: hello\r\n\r\n${event({})}data: {"choices":[{"de`],
  ["lines that end with CR alone", 'data: {"choices":[]}\r\rdata: [DONE]\r\r'],
])("%s is passed on unchanged", (_what, text) => {
  for (const size of [1, 5, 100_000]) expect(pass(text, size)).toBe(text);
});

test("lines are passed on as they end, and what is too long without an end is not held", () => {
  const ids = new UniqueCallIds();
  const passed = (text: string) => new TextDecoder().decode(ids.pass(new TextEncoder().encode(text)));
  expect(passed("data: 1\n\ndata:")).toBe("data: 1\n\n");
  expect(passed(" 2\rdata: 3")).toBe("data: 2\r");
  expect(passed("x".repeat(1_000_001))).toBe(`data: 3${"x".repeat(1_000_001)}`);
});
