import { expect, test } from "vitest";
import { stateOf, stopReasonOf, textOf } from "./container-state.ts";

test.each([
  [0, false, "entrypoint_ended"],
  [77, false, "entrypoint_ended"],
  [78, false, "entrypoint_ended"],
  [76, false, "out_of_memory"],
  [143, false, "broker_stopped"],
  [137, false, "broker_lost"],
  [255, false, "broker_lost"],
  [1, false, "entrypoint_failed"],
  [137, true, "out_of_memory"],
  [1, true, "out_of_memory"],
  // A command of the agent was out of memory long before.
  [143, true, "broker_stopped"],
  [77, true, "entrypoint_ended"],
])("exit code %i, out of memory %s: %s", (ExitCode, OOMKilled, reason) => {
  expect(stopReasonOf({ ExitCode, OOMKilled })).toBe(reason);
});

test("a container that is paused runs, and one that never ran is starting", () => {
  const state = { Running: false, Paused: false, StartedAt: "2026-01-01T00:00:00Z" };
  expect(stateOf(state)).toBe("stopped");
  expect(stateOf({ ...state, Running: true })).toBe("running");
  expect(stateOf({ ...state, Paused: true })).toBe("running");
  expect(stateOf({ ...state, StartedAt: "0001-01-01T00:00:00Z" })).toBe("starting");
});

test("a log is the payloads of its frames, also if the last one is cut off", () => {
  const frame = (text: string) => {
    const header = Buffer.alloc(8);
    header.writeUInt32BE(text.length, 4);
    return Buffer.concat([header, Buffer.from(text)]);
  };
  const frames = Buffer.concat([frame("one\n"), frame("two\n")]);
  expect(textOf(frames)).toBe("one\ntwo\n");
  expect(textOf(frames.subarray(0, -2))).toBe("one\ntw");
  expect(textOf(Buffer.alloc(0))).toBe("");
});
