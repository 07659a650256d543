/**
 * Tests the agent's requests to a person: permissions and questions.
 */
import { describe, expect, test, vi } from "vitest";
import type { RawEvent, Rest } from "../test/fake-opencode.ts";
import { attributesOf, dispatch, holdClock, STUCK_MS, setUp } from "../test/recorded-turns.ts";

test("a permission request reaches a person, does not count as stuck, and receives the reply", async () => {
  holdClock();
  let rest = () => {};
  const replied: [string, string][] = [];
  const { runner, asked, started, quiet } = setUp(
    {
      onPrompt: (prompt) => {
        rest = prompt.play("permission", { until: ({ type }) => type === "permission.replied" });
      },
      onPermissionReply: (...reply) => {
        replied.push(reply);
        rest();
      },
    },
    { stuckTurnMs: STUCK_MS },
  );
  const { attemptId, ...input } = dispatch();
  const { done } = runner.run({ attemptId, ...input });
  await expect.poll(() => started.some(({ name }) => name === "valet.permission.wait")).toBe(true);
  const [question] = asked;
  if (question?.type !== "permission-asked") throw new Error("nothing was asked");
  const { permissionId } = question;
  expect(asked).toEqual([{ type: "permission-asked", attemptId, permissionId, permission: "bash", detail: "ls" }]);
  const before = quiet.length;
  // Twice as long as the allowed silence.
  for (let silence = 1; silence <= 2; silence++) {
    vi.advanceTimersByTime(STUCK_MS);
    expect(quiet).toHaveLength(before + silence);
  }
  expect(new Set(quiet)).toEqual(new Set([attemptId]));
  expect(runner.busy).toHaveLength(1);
  await runner.reply({ type: "permission-reply", permissionId: "per_unknown", reply: "reject" });
  await runner.reply({ type: "permission-reply", permissionId, reply: "once" });
  expect(await done).toMatchObject({ outcome: "ok" });
  expect(replied).toEqual([[permissionId, "once"]]);
  const wait = started.find(({ name }) => name === "valet.permission.wait");
  expect(attributesOf(wait)).toMatchObject({ "valet.permission.reply": "once", "valet.permission.type": "bash" });
});

test.each([
  ["are answered", [["Good day"]]],
  ["are declined", null],
])("questions of the agent reach a person with their options, and %s", async (_what, answers) => {
  let rest = () => {};
  const replied: unknown[] = [];
  const { runner, asked, started } = setUp({
    onPrompt: (prompt) => {
      rest = prompt.play("question", { until: ({ type }) => type === "question.replied" });
    },
    onQuestionReply: (_id, given) => {
      replied.push(given ?? null);
      rest();
    },
  });
  const { done } = runner.run(dispatch());
  await vi.waitFor(() => expect(asked).toHaveLength(1), 20_000);
  const [question] = asked;
  if (question?.type !== "question-asked") throw new Error("nothing was asked");
  expect(question.questions).toEqual([
    {
      question: "Which greeting do you prefer?",
      header: "Greeting",
      options: [
        { label: "Hello", description: "The usual one" },
        { label: "Good day", description: "The formal one" },
      ],
    },
  ]);
  await runner.reply({ type: "question-reply", questionId: question.questionId, answers });
  expect(await done).toMatchObject({ outcome: "ok" });
  expect(replied).toEqual([answers]);
  expect(started.some(({ name }) => name === "valet.question.wait")).toBe(true);
});

describe("a request to a person during a break of the event stream", () => {
  const isAsked = ({ type }: RawEvent) => type === "permission.asked" || type === "question.asked";
  const isAnswered = ({ type }: RawEvent) => /^(permission|question)\.re/.test(type);

  test.each(["permission", "question"])(
    "%s: it reaches the person, receives the reply, and the turn succeeds",
    async (name) => {
      let rest: Rest = () => rest;
      const answer = () => void rest();
      holdClock();
      const { opencode, runner, asked, quiet, started } = setUp(
        {
          onPrompt: (prompt) => {
            rest = prompt.play(name, { until: isAsked });
          },
          onPermissionReply: answer,
          onQuestionReply: answer,
        },
        { stuckTurnMs: STUCK_MS },
      );
      const { done } = runner.run(dispatch());
      await vi.waitFor(() => expect(started.some((span) => span.name.startsWith("chat "))).toBe(true), 20_000);
      opencode.breakStreams();
      rest = rest(isAnswered);
      await vi.waitFor(() => expect(asked).toHaveLength(1), 20_000);
      const before = quiet.length;
      // It does not count as stuck, either.
      vi.advanceTimersByTime(STUCK_MS);
      expect(quiet).toHaveLength(before + 1);
      const [request] = asked;
      if (request?.type === "permission-asked") {
        await runner.reply({ type: "permission-reply", permissionId: request.permissionId, reply: "once" });
      } else {
        await runner.reply({ type: "question-reply", questionId: request?.questionId ?? "", answers: [["Good day"]] });
      }
      expect(await done).toMatchObject({ outcome: "ok" });
      expect(asked).toHaveLength(1);
      const wait = started.find(({ name: span }) => span === `valet.${name}.wait`);
      expect(attributesOf(wait)["valet.outcome"]).toBe("ok");
      expect(opencode.calls.filter(({ path }) => /\/re(ply|ject)$/.test(path))).toHaveLength(1);
    },
  );

  test.each(["permission", "question"])("%s: one that was answered in OpenCode no longer waits", async (name) => {
    let rest: Rest = () => rest;
    const { opencode, runner, asked, started } = setUp({
      onPrompt: (prompt) => {
        rest = prompt.play(name, { until: isAnswered });
      },
    });
    const { done } = runner.run(dispatch());
    await vi.waitFor(() => expect(asked).toHaveLength(1), 20_000);
    opencode.breakStreams();
    let hasAnswered = false;
    rest = rest((event) => {
      const isPast = hasAnswered;
      hasAnswered ||= isAnswered(event);
      return isPast;
    });
    const wait = started.find(({ name: span }) => span === `valet.${name}.wait`);
    await vi.waitFor(() => expect(attributesOf(wait)["valet.outcome"]).toBe("ok"), 20_000);
    // The reply is unknown.
    expect(attributesOf(wait)).not.toHaveProperty("valet.permission.reply");
    rest();
    expect(await done).toMatchObject({ outcome: "ok" });
  });

  test("a permission that was rejected in OpenCode ends the turn", async () => {
    let rest: Rest = () => rest;
    const { opencode, runner, started, asked } = setUp({
      onPrompt: (prompt) => {
        rest = prompt.play("permission", { turn: 1, until: isAsked });
      },
    });
    const { done } = runner.run(dispatch());
    await vi.waitFor(() => expect(started.some(({ name }) => name.startsWith("chat "))).toBe(true), 20_000);
    opencode.breakStreams();
    rest = rest();
    expect(await done).toMatchObject({ outcome: "error", errorType: "permission_denied" });
    expect(asked).toEqual([]);
  });
});
