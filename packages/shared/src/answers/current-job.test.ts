import { expect, test } from "vitest";
import { currentJob } from "./current-job.ts";

const at = (minute: number) => new Date(Date.UTC(2026, 0, 1, 12, minute)).toISOString();
const done = (id: string, acceptedMinute: number, endedMinute: number) => ({
  id,
  status: "done",
  acceptedAt: at(acceptedMinute),
  endedAt: at(endedMinute),
});

interface Session {
  readonly running?: readonly unknown[];
  readonly queue?: readonly unknown[];
  readonly messages?: Parameters<typeof currentJob>[1];
  readonly workflows?: Parameters<typeof currentJob>[2];
}

const ask = ({ running = [], queue = [], messages = [], workflows = [] }: Session) =>
  currentJob({ running, queue } as never, messages, workflows);

const MESSAGE = done("msg_1", 0, 1);

test.each<[what: string, session: Session, kind: string, id: string]>([
  ["the only workflow", { workflows: [done("wfl_1", 2, 3)] }, "workflow", "wfl_1"],
  ["a workflow after a message", { messages: [MESSAGE], workflows: [done("wfl_1", 2, 3)] }, "workflow", "wfl_1"],
  [
    "a message after a workflow",
    { messages: [done("msg_2", 4, 5), MESSAGE], workflows: [done("wfl_1", 2, 3)] },
    "message",
    "msg_2",
  ],
  [
    "the job that ended most recently, although another one was sent later",
    { messages: [done("msg_2", 2, 3), done("msg_1", 0, 9)] },
    "message",
    "msg_1",
  ],
  [
    "the workflow that runs for longest",
    {
      running: [
        { kind: "message", id: "msg_2", dispatchedAt: at(4) },
        { kind: "workflow", id: "wfl_1", dispatchedAt: at(3) },
      ],
      queue: [{ kind: "message", id: "msg_3" }],
    },
    "workflow",
    "wfl_1",
  ],
  ["the first that waits", { messages: [MESSAGE], queue: [{ kind: "workflow", id: "wfl_1" }] }, "workflow", "wfl_1"],
])("a session is about %s", (_what, session, kind, id) => {
  expect(ask(session)).toMatchObject({ kind, id });
});

test("a session without any job is about none", () => {
  expect(ask({})).toBeUndefined();
});
