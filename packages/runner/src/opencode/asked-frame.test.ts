import { expect, test } from "vitest";
import { askedFrame } from "./asked-frame.ts";

test("the texts by which a person decides are visibly cut", () => {
  const properties = {
    id: "per_1",
    sessionID: "ses_1",
    permission: "bash",
    patterns: [`echo ${"x".repeat(5_000)}; rm -r ~`],
  };
  const asked = askedFrame({ type: "permission.asked", properties } as never, "att_1");
  expect(asked).toMatchObject({ detail: expect.stringMatching(/^echo x+…$/) });

  const options = [{ label: "Yes", description: "d".repeat(600) }];
  const questions = [{ question: "q".repeat(3_000), header: "h", options }];
  const frame = askedFrame({ type: "question.asked", properties: { ...properties, questions } } as never, "att_1");
  expect(frame).toMatchObject({
    questions: [{ question: `${"q".repeat(1_999)}…`, options: [{ label: "Yes", description: `${"d".repeat(499)}…` }] }],
  });
});

test("a request that fits stays unchanged", () => {
  const properties = { id: "per_1", sessionID: "ses_1", permission: "bash", patterns: ["ls", "pwd"] };
  expect(askedFrame({ type: "permission.asked", properties } as never, "att_1")).toEqual({
    type: "permission-asked",
    attemptId: "att_1",
    permissionId: "per_1",
    permission: "bash",
    detail: "ls\npwd",
  });
});

test("a person is asked for the whole command; the agent's patterns lack its assignments and redirections", () => {
  const command = 'a="rm -rf"; export GIT_DIR=/tmp/x\n$a ~; echo fine';
  const properties = { id: "per_1", permission: "bash", patterns: ["$a ~", "echo fine"], metadata: { command } };
  expect(askedFrame({ type: "permission.asked", properties } as never, "att_1")).toMatchObject({ detail: command });
});

test("a request for something else than a command names that, whatever command it is for", () => {
  const properties = {
    id: "per_1",
    permission: "external_directory",
    patterns: ["/etc/*"],
    metadata: { command: "ls" },
  };
  expect(askedFrame({ type: "permission.asked", properties } as never, "att_1")).toMatchObject({ detail: "/etc/*" });
});
