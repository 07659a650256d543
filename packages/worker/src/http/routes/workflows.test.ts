import { Problem } from "@valet/shared/http/problem";
import { AcceptedWorkflow, MessageList, WorkflowList } from "@valet/shared/protocol/session-api";
import { WorkflowView } from "@valet/shared/protocol/session-view";
import { beforeEach, describe, expect, test } from "vitest";
import { call, createSession, signIn } from "../../../test/api.ts";

// This session's sandbox never becomes ready, so its workflows wait.
let token: string;
let session: string;
beforeEach(async () => {
  token = await signIn();
  session = `/api/sessions/${(await createSession(token)).id}`;
});

const STEPS = [
  { name: "mend", prompt: "Mend the test." },
  { name: "test", run: "npm test" },
];

async function start(body: object = {}): Promise<AcceptedWorkflow> {
  const response = await call("POST", `${session}/workflows`, {
    token,
    body: { name: "release", steps: STEPS, ...body },
  });
  expect(response.status).toBe(202);
  return AcceptedWorkflow.parse(await response.json());
}

async function list(): Promise<WorkflowView[]> {
  const response = await call("GET", `${session}/workflows`, { token });
  return WorkflowList.parse(await response.json()).workflows;
}

describe("a workflow", () => {
  test("is stored when it is accepted, and shown by itself and in the list", async () => {
    const accepted = await start({ onFailure: "continue", channel: "side" });
    expect(accepted).toMatchObject({ status: "queued", traceId: expect.stringMatching(/^[0-9a-f]{32}$/) });
    const { executionId: id, traceId } = accepted;
    const response = await call("GET", `${session}/workflows/${id}`, { token });
    const view = WorkflowView.parse(await response.json());
    expect(view).toMatchObject({
      id,
      name: "release",
      status: "queued",
      onFailure: "continue",
      channel: "side",
      attempts: 0,
      traceId,
      steps: [
        { name: "mend", type: "prompt", status: "waiting" },
        { name: "test", type: "command", status: "waiting" },
      ],
    });
    expect(await list()).toEqual([view]);
  });

  test("with a known id returns the existing execution", async () => {
    const answers = [await start({ id: "ci:1" }), await start({ id: "ci:1" })];
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(await list()).toMatchObject([{ id: "ci:1", name: "release" }]);
  });

  test("is withdrawn, idempotently", async () => {
    const { executionId } = await start();
    for (const _ of [1, 2]) {
      const response = await call("DELETE", `${session}/workflows/${executionId}`, { token });
      expect(response.status).toBe(200);
      expect(WorkflowView.parse(await response.json())).toMatchObject({
        outcome: "aborted",
        outcomeReason: "withdrawn",
      });
    }
    for (const method of ["GET", "DELETE"]) {
      expect((await call(method, `${session}/workflows/wfl_0`, { token })).status).toBe(404);
    }
  });

  test("is visible to its owner only", async () => {
    const { executionId } = await start();
    const stranger = await signIn();
    for (const [method, path] of [
      ["POST", "/workflows"],
      ["GET", "/workflows"],
      ["GET", `/workflows/${executionId}`],
      ["DELETE", `/workflows/${executionId}`],
    ] as const) {
      const body = method === "POST" ? { body: { name: "x", steps: STEPS } } : {};
      expect((await call(method, session + path, { token: stranger, ...body })).status).toBe(404);
    }
  });

  const many = Array(51).fill({ name: "a", run: "b" });
  test.each([
    ["name", { steps: STEPS }],
    ["name", { name: "x".repeat(129), steps: STEPS }],
    ["steps", { name: "x" }],
    ["steps", { name: "x", steps: [] }],
    ["steps", { name: "x", steps: many }],
    ["steps.0", { name: "x", steps: ["npm test"] }],
    ["steps.0", { name: "x", steps: [{ name: "neither" }] }],
    ["steps.0", { name: "x", steps: [{ name: "both", prompt: "a", run: "b" }] }],
    ["steps.1", { name: "x", steps: [STEPS[0], { run: "nameless" }] }],
    ["steps.0.run", { name: "x", steps: [{ name: "long", run: "x".repeat(32 * 1024 + 1) }] }],
    ["steps.0.run", { name: "x", steps: [{ name: "nul", run: "a\0b" }] }],
    ["steps.0.prompt", { name: "x", steps: [{ name: "empty", prompt: "" }] }],
    ["onFailure", { name: "x", steps: STEPS, onFailure: "explode" }],
    ["id", { name: "x", steps: STEPS, id: "a b" }],
    ["channel", { name: "x", steps: STEPS, channel: "" }],
    ["onFailrue", { name: "x", steps: STEPS, onFailrue: "stop" }],
  ])("is refused for its %s, and the queue does not change", async (path, body) => {
    const response = await call("POST", `${session}/workflows`, { token, body });
    expect(response.status).toBe(400);
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    const { errors } = Problem.parse(await response.json());
    expect(errors?.map((each) => each.path)).toEqual([path]);
    expect(await list()).toEqual([]);
    const { executionId } = await start();
    expect((await list()).map(({ id }) => id)).toEqual([executionId]);
  });
});

test("clearing the queue withdraws workflows and messages", async () => {
  await start();
  await call("POST", `${session}/messages`, { token, body: { content: "a" } });
  const response = await call("DELETE", `${session}/queue`, { token });
  expect(await response.json()).toEqual({ withdrawn: 2 });
  const messages = await call("GET", `${session}/messages`, { token });
  expect(MessageList.parse(await messages.json()).messages).toMatchObject([{ outcome: "aborted" }]);
  expect(await list()).toMatchObject([{ outcome: "aborted", outcomeReason: "queue_cleared" }]);
});
