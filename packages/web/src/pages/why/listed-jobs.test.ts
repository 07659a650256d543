import { expect, test } from "vitest";
import type { Schemas } from "../../api/client.ts";
import { newestFirst } from "./listed-jobs.ts";

const job = (id: string, minute: number) => ({
  id,
  channel: "main",
  status: "done",
  acceptedAt: new Date(Date.UTC(2026, 0, 1, 12, minute)).toISOString(),
});
const message = (id: string, minute: number, rest: object = {}) =>
  ({ ...job(id, minute), content: "Fix it.\nNow.", ...rest }) as Schemas["MessageView"];
const workflow = (id: string, minute: number, rest: object = {}) =>
  ({ ...job(id, minute), name: "checks", ...rest }) as Schemas["WorkflowView"];

test("messages and workflows are listed by when they were accepted, with what they are called, by whom, and how they ended", () => {
  const listed = newestFirst(
    [
      message("msg_2", 4, { author: { name: "Ada" }, userId: "usr_1" }),
      message("msg_1", 1, { content: "", userId: "usr_2" }),
    ],
    [workflow("wfl_1", 3, { outcome: "error" })],
  );
  expect(listed.map(({ kind, id, title, by, state }) => [kind, id, title, by, state])).toEqual([
    ["message", "msg_2", "Fix it. Now.", "Ada", "done"],
    ["workflow", "wfl_1", "checks", undefined, "error"],
    ["message", "msg_1", "(no text)", "usr_2", "done"],
  ]);
});
