import * as fc from "fast-check";
import { expect, test } from "vitest";
import { loadRecording, recordingNames } from "../../test/recordings.ts";
import { eventTime, readEvent, readStatuses } from "./events.ts";

/** The types of events that the runner reads. The recordings contain more. */
const READ = /^(?:server\.connected|session\.(?:created|status|error)|message\.|permission\.|question\.)/;

test("every recorded event of a known type can be parsed, except for parts that do not belong to an answer", () => {
  for (const name of recordingNames) {
    for (const { event } of loadRecording(name).events) {
      const type = String(event.type);
      const part = (event.properties as { part?: { type: string } }).part?.type;
      expect(readEvent(event) !== undefined, `${name}: ${type} ${part}`).toBe(READ.test(type) && part !== "patch");
    }
  }
});

test("an event's time comes from its id, and agrees with the times in it to the millisecond", () => {
  const { startedAt, events } = loadRecording("simple");
  for (const { at, event } of events) {
    const created = (event.properties as { time?: number }).time;
    if (created !== undefined) expect(Math.abs(eventTime(event, startedAt + at) - created)).toBeLessThanOrEqual(3);
  }
});

test("the time in ids repeats every 2^36 ms, and the one closest to the reading is used", () => {
  const id = (ms: number) => `evt_${((BigInt(ms) * 4096n) & 0xffff_ffff_ffffn).toString(16).padStart(12, "0")}abc`;
  const time = fc.integer({ min: 2 ** 36, max: 2 ** 42 });
  fc.assert(
    fc.property(time, fc.integer({ min: -1000, max: 100_000 }), (ms, lateMs) => {
      expect(eventTime({ id: id(ms) }, ms + lateMs)).toBe(ms);
    }),
  );
  expect(eventTime({}, 5)).toBe(5);
  expect(eventTime({ id: "evt_zz" }, 5)).toBe(5);
});

test("invalid JSON never throws", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(readEvent(value)).toBeUndefined();
      expect(readEvent({ type: "message.updated", properties: value })).toBeUndefined();
      expect(readStatuses(value).size).toBe(0);
    }),
  );
});

test("a tool call may have an empty id, and a step a cost that is not a number", () => {
  const ids = { id: "prt_1", messageID: "msg_1", sessionID: "ses_1" };
  const told = (part: object) => readEvent({ type: "message.part.updated", properties: { part: { ...ids, ...part } } });
  expect(told({ type: "tool", tool: "bash", callID: "", state: { status: "pending" } })).toMatchObject({
    properties: { part: { callID: "" } },
  });
  const tokens = { input: null, output: 1, reasoning: -1, cache: { read: 0, write: null } };
  expect(told({ type: "step-finish", reason: "stop", cost: null, tokens })).toMatchObject({
    properties: { part: { cost: 0, tokens: { input: 0, output: 1, reasoning: -1, cache: { read: 0, write: 0 } } } },
  });
});
