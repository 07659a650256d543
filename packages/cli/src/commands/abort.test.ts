import { expect, test } from "vitest";
import { abortText } from "./abort.ts";

const job = (id: string) => ({ id });

test.each([
  ["nothing waits", [], 0, 'Stopped: msg_1. Send the next message: valet prompt --session ses_1 "…".'],
  ["a job waits", [], 1, "Stopped: msg_1. 1 job in the queue runs next; withdraw it: valet clear ses_1."],
  ["jobs wait", [], 2, "Stopped: msg_1. 2 jobs in the queue run next; withdraw them: valet clear ses_1."],
  ["the next one runs already", ["msg_2"], 0, "Stopped: msg_1. msg_2 runs now; stop that, too: valet abort ses_1."],
  [
    "the next one runs already, and more wait",
    ["msg_2"],
    3,
    "Stopped: msg_1. msg_2 runs now; stop that, too: valet abort ses_1. " +
      "3 jobs in the queue run next; withdraw them: valet clear ses_1.",
  ],
])("after an abort, %s", (_what, begun, queueLength, text) => {
  const told = abortText("ses_1", ["msg_1"], { running: begun.map(job), queueLength });
  expect(told).toEqual({ text, more: { stopped: ["msg_1"], stopping: [] } });
});

test("while it is still stopping", () => {
  const told = abortText("ses_1", ["msg_1"], { running: [job("msg_1")], queueLength: 1 });
  expect(told).toEqual({
    text: "Still stopping: msg_1. See it: valet status ses_1.",
    more: { stopped: [], stopping: ["msg_1"] },
  });
});

test("where only the queue had something", () => {
  const { text } = abortText("ses_1", [], { running: [], queueLength: 1 });
  expect(text).toBe("Nothing was running. 1 job in the queue runs next; withdraw it: valet clear ses_1.");
});
