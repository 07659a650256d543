import type { NowView } from "@valet/shared/protocol/now";
import type { MessageView, WorkflowView } from "@valet/shared/protocol/session-view";
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
  readonly messages?: readonly unknown[];
  readonly workflows?: readonly unknown[];
}

const ask = ({ running = [], queue = [], messages = [], workflows = [] }: Session) =>
  currentJob(
    {
      now: async () => ({ running, queue }) as unknown as NowView,
      newestMessages: async () => messages as MessageView[],
      newestWorkflows: async () => workflows as WorkflowView[],
    },
    "ses_1",
  );

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
])("a session is about %s", async (_what, session, kind, id) => {
  expect(await ask(session)).toMatchObject({ kind, id });
});

test("a session without any job says so", async () => {
  await expect(ask({})).rejects.toThrow("Session ses_1 has no messages and no workflows yet.");
});
