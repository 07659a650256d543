import fc from "fast-check";
import { expect, test } from "vitest";
import { type AgentEvent, readEvent } from "./events.ts";
import { ToolLimits } from "./tool-limits.ts";

const START = 1_000_000;
const GRACE = 5_000;

function event(id: string, tool: string, state: object): AgentEvent {
  const part = { type: "tool", id, messageID: "msg_1", sessionID: "ses_1", tool, callID: `call_${id}`, state };
  const read = readEvent({ type: "message.part.updated", properties: { part } });
  if (read === undefined) throw new Error("no event");
  return read;
}
const running = (id: string, tool: string, input: object) =>
  event(id, tool, { status: "running", input, time: { start: START } });
const completed = (id: string, tool: string) =>
  event(id, tool, { status: "completed", input: {}, output: "", time: { start: START, end: START + 1 } });

test.each([
  ["a command with a timeout", "bash", { command: "x", timeout: 600_000 }, 600_000],
  ["a command without a timeout", "bash", { command: "x" }, 120_000],
  ["a command with an invalid timeout", "bash", { command: "x", timeout: "long" }, 120_000],
  ["a page with a timeout in seconds", "webfetch", { url: "x", timeout: 60 }, 60_000],
  ["a tool without a limit", "grep", { timeout: 600_000 }, undefined],
])("%s", (_what, tool, input, limitMs) => {
  const limits = new ToolLimits();
  limits.observe(running("prt_1", tool, input));
  expect(limits.quietUntilMs(0)).toBe(limitMs === undefined ? 0 : START + limitMs + GRACE);
  limits.observe(completed("prt_1", tool));
  expect(limits.quietUntilMs(0)).toBe(0);
});

test("a limit counts from the tool's start, or from when the agent last waited for a person", () => {
  const limits = new ToolLimits();
  expect(limits.overrunMs(0)).toBe(Number.POSITIVE_INFINITY);
  limits.observe(running("prt_1", "grep", {}));
  expect(limits.overrunMs(0)).toBe(Number.POSITIVE_INFINITY);
  limits.observe(running("prt_2", "bash", { timeout: 30_000 }));
  limits.observe(running("prt_3", "bash", { timeout: 90_000 }));
  expect(limits.overrunMs(0)).toBe(START + 30_000 + GRACE);
  expect(limits.overrunMs(START + 600_000)).toBe(START + 630_000 + GRACE);
  expect(limits.quietUntilMs(START + 600_000)).toBeGreaterThan(START + 630_000);
  limits.observe(completed("prt_2", "bash"));
  expect(limits.overrunMs(0)).toBe(START + 90_000 + GRACE);
});

test("of several running tools the one with the longest limit counts", () => {
  const call = fc.record({ id: fc.constantFrom("a", "b", "c"), timeout: fc.nat({ max: 1e6 }), ends: fc.boolean() });
  fc.assert(
    fc.property(fc.array(call), (calls) => {
      const limits = new ToolLimits();
      const open = new Map<string, number>();
      for (const { id, timeout, ends } of calls) {
        limits.observe(ends ? completed(id, "bash") : running(id, "bash", { timeout: timeout + 1 }));
        if (ends) open.delete(id);
        else open.set(id, START + timeout + 1 + GRACE);
        expect(limits.quietUntilMs(0)).toBe(Math.max(0, ...open.values()));
      }
    }),
  );
});
