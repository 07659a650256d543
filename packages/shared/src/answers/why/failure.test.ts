import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BEGAN_MS, SESSION, Story } from "../../../test/why-spans.ts";
import type { WhyFailure } from "../../protocol/why.ts";
import { ERROR_TYPES, ERRORS, type ErrorType, OUTCOMES } from "../../spans.ts";
import { failureOf } from "./failure.ts";
import type { WhyJob, WhySpan } from "./spans.ts";

const URL = "https://git.example/team/app";

/** Returns why a message failed, with the failure that its session has on record. */
function whyFailed(story: Story, message: WhySpan, type?: ErrorType, job: Partial<WhyJob> = {}): WhyFailure {
  const failure = failureOf(story.about(message, { ...(type && { failure: { type, message: "" } }), ...job }));
  if (failure === null) throw new Error("no failure");
  return failure;
}

const spansOf = ({ evidence }: WhyFailure) => evidence.map(({ name }) => name);

describe("a start that failed", () => {
  function failedClone() {
    const story = new Story();
    const message = story.message("m1", { at: 0, to: 90_000, error: "git_not_found" });
    story.span("valet.queue.wait", { at: 0, to: 90_000, parent: message, error: "git_not_found" });
    const start = (at: number, error: string, links: readonly (readonly ["caused_by" | "follows", WhySpan])[]) => {
      const attributes = {
        "valet.spawn.reason": at === 0 ? "session_created" : "recovery",
        "valet.sandbox.stage": "git_setup",
      };
      const spawn = story.span("valet.sandbox.spawn", { at: at + 5, to: at + 5000, error, attributes, links });
      const boot = story.span("valet.runner.bootstrap", { at: at + 1000, to: at + 4900, error, parent: spawn });
      story.span("valet.runner.agent_warm_up", { at: at + 1100, to: at + 1200, error: "stuck_turn", parent: boot });
      const setup = story.span("valet.runner.git_setup", { at: at + 1500, to: at + 4800, error, parent: boot });
      const attributesOfClone = { "vcs.repository.url.full": URL, "process.exit.code": 128 };
      story.span("valet.runner.git_clone", {
        at: at + 1510,
        to: at + 4790,
        error,
        parent: setup,
        attributes: attributesOfClone,
      });
      return spawn;
    };
    const first = start(0, "git_not_found", [["caused_by", message]]);
    start(10_000, "git_timeout", [["follows", first]]);
    return { story, message };
  }

  test("because the clone failed: the first start's clone is the cause, whatever later ones failed with", () => {
    const { story, message } = failedClone();
    const failure = failureOf(
      story.about(message, { failure: { type: "git_not_found", message: "", attempts: 2, stage: "git_setup" } }),
    );
    expect(failure).toMatchObject({ type: "git_not_found", outcome: "error", cause: { type: "git_not_found" } });
    expect(failure?.sentence).toBe(
      `The message failed because the clone of \`${URL}\` failed: the host has no such repository, or hides it without credentials (\`git_not_found\`).`,
    );
    expect(failure?.evidence.map(({ name }) => name)).toEqual([
      "valet.runner.git_clone",
      "valet.runner.git_setup",
      "valet.runner.bootstrap",
      "valet.sandbox.spawn",
      "valet.prompt",
    ]);
    expect(failure?.evidence[0]).toMatchObject({
      at: new Date(BEGAN_MS + 4790).toISOString(),
      note: `The clone of \`${URL}\` failed after 3.3 s (\`git_not_found\`, exit code 128).`,
    });
    expect(failure?.remedy).toBe(
      `${ERRORS.git_not_found.remedy} The repository is \`${URL}\`. The start had come to the stage \`git_setup\`. Valet gave up after 2 attempts.`,
    );
  });

  test("in the broker, below the request to it", () => {
    const story = new Story();
    const message = story.message("m1", { at: 0, to: 9000, error: "spawn_failed" });
    const spawn = story.span("valet.sandbox.spawn", {
      at: 5,
      to: 900,
      error: "spawn_failed",
      links: [["caused_by", message]],
    });
    const create = story.span("valet.sandbox.create", { at: 10, to: 800, error: "spawn_failed", parent: spawn });
    const request = story.span("POST /v1/sandboxes", { at: 20, to: 790, error: "500", parent: create });
    story.span("valet.sandbox.prepare", { at: 30, to: 780, error: "broker_error", parent: request });
    const failure = whyFailed(story, message, "spawn_failed");
    expect(failure).toMatchObject({
      type: "spawn_failed",
      cause: { type: "broker_error" },
      remedy: ERRORS.broker_error.remedy,
    });
    expect(failure.sentence).toMatch(
      /^The message failed because .*\(`broker_error`\); it ended with `spawn_failed`\.$/,
    );
    expect(spansOf(failure)[0]).toBe("valet.sandbox.prepare");
  });

  test("after a runner was lost: the loss is the cause, if the start itself shows none", () => {
    const story = new Story();
    const message = story.message("m1", { at: 0, to: 90_000, error: "sandbox_gone" });
    const { turn, run } = story.attempt(message, { at: 10, to: 5000, outcome: "lost", error: "runner_lost" });
    story.tool(run, "bash", { at: 20, to: 5000, outcome: "lost", error: "runner_lost" });
    const attributes = { "valet.restore.reason": "recovery" };
    story.span("valet.sandbox.restore", {
      at: 6000,
      to: 9000,
      error: "sandbox_gone",
      attributes,
      links: [["caused_by", message]],
    });
    const failure = whyFailed(story, message, "sandbox_gone");
    expect(failure).toMatchObject({ type: "sandbox_gone", cause: { type: "runner_lost" } });
    expect(failure.sentence).toContain("while the tool `bash` was in progress; it ended with `sandbox_gone`");
    expect(failure.evidence.map(({ spanId }) => spanId)).toContain(turn.spanId);
  });
});

describe("a turn that failed", () => {
  test("because every model failed: the first model's first error is the cause", () => {
    const story = new Story();
    const message = story.message("m1", { at: 0, to: 90_000, error: "model_chain_exhausted" });
    const dispatch = story.span("valet.prompt.dispatch", { at: 5, to: 6, parent: message });
    const turn = story.span("valet.turn", { at: 6, to: 80_000, error: "model_chain_exhausted", parent: dispatch });
    const first = story.run(turn, { at: 10, to: 3000, error: "provider_overloaded", model: "a/one" });
    const call = story.chat(first, { at: 20, to: 2900, error: "provider_overloaded", model: "one" });
    for (const at of [20, 1000])
      story.span("valet.llm.try", {
        at,
        to: at + 500,
        parent: call,
        error: "provider_overloaded",
        attributes: { "valet.llm.attempt": at === 20 ? 1 : 2, "error.message": `busy at ${at}` },
      });
    const second = story.run(turn, {
      at: 3000,
      to: 70_000,
      error: "provider_auth_failed",
      model: "b/two",
      links: [["follows", first]],
    });
    story.chat(second, { at: 3010, to: 4000, error: "provider_auth_failed", model: "two" });
    const failure = whyFailed(story, message, "model_chain_exhausted", {
      failure: { type: "model_chain_exhausted", cause: "provider_auth_failed", of: "b/two", message: "" },
    });
    expect(failure).toMatchObject({ type: "model_chain_exhausted", cause: { type: "provider_overloaded" } });
    expect(failure.sentence).toBe(
      "The message failed because try 1 of the model call to `one` failed: the provider answered 503 or 529, or reported its own equivalent (`provider_overloaded`); it ended with `model_chain_exhausted`.",
    );
    expect(spansOf(failure)).toEqual([
      "valet.llm.try",
      "chat one",
      "invoke_agent build",
      "valet.turn",
      "valet.prompt",
      "valet.llm.try",
      "invoke_agent build",
    ]);
    expect(failure.remedy).toMatch(/^Wait, or give the session another model.* The model is `one`\.$/);
    expect(failure.said).toBe("busy at 20");
  });

  test("with a tool that had failed before and did no harm", () => {
    const story = new Story();
    const message = story.message("m1", { at: 0, to: 9000, error: "empty_answer" });
    const { run } = story.attempt(message, { at: 10, to: 8000, error: "empty_answer" });
    story.tool(run, "bash", { at: 20, to: 100, error: "tool_failed" });
    story.chat(run, { at: 200, to: 7000, error: "empty_answer" });
    const failure = whyFailed(story, message, "empty_answer");
    expect(failure).toMatchObject({ cause: { type: "empty_answer" } });
    expect(spansOf(failure)[0]).toBe("chat demo");
  });

  test("because it was stuck: what was open for longest is named", () => {
    const story = new Story();
    const message = story.message("m1", { at: 0, to: 90_000, error: "tool_stuck" });
    const { run } = story.attempt(message, { at: 10, to: 80_000, error: "tool_stuck" });
    story.tool(run, "read", { at: 500, to: 80_000, error: "tool_stuck" });
    story.tool(run, "bash", { at: 20, to: 80_000, error: "tool_stuck" });
    const failure = whyFailed(story, message, "tool_stuck");
    expect(failure.sentence).toContain("(`tool_stuck`), while the tool `bash` was in progress.");
    expect(failure.remedy).toContain("The tool is `bash`.");
  });

  test("because its runner was lost twice: the first loss is the cause", () => {
    const story = new Story();
    const message = story.message("m1", { at: 0, to: 90_000, outcome: "lost", error: "runner_lost" });
    const first = story.attempt(message, { at: 10, to: 8000, outcome: "lost", error: "runner_lost" });
    story.attempt(message, { at: 20_000, to: 80_000, outcome: "lost", error: "runner_lost" });
    const failure = whyFailed(story, message, "runner_lost");
    expect(failure).toMatchObject({ type: "runner_lost", outcome: "lost", cause: { type: "runner_lost" } });
    expect(failure.evidence[0]).toMatchObject({ spanId: first.run.spanId });
  });

  test("because its runner was lost with a sandbox that was out of memory: that is the cause, and what to do is about it", () => {
    const story = new Story();
    const attributes = { "valet.error.cause": "sandbox_out_of_memory" };
    const lost = { outcome: "lost", error: "runner_lost", attributes } as const;
    const message = story.message("m1", { at: 0, to: 90_000, error: "runner_lost" });
    const { run } = story.attempt(message, { at: 10, to: 8000, ...lost });
    story.tool(run, "bash", { at: 20, to: 8000, ...lost });
    const failure = whyFailed(story, message, "runner_lost");
    expect(failure).toMatchObject({ type: "runner_lost", cause: { type: "sandbox_out_of_memory" } });
    expect(failure.sentence).toMatch(/because .*\(`sandbox_out_of_memory`\).*; it ended with `runner_lost`\.$/);
    expect(failure.remedy).toContain("VALET_SANDBOX_MEMORY_BYTES");
  });

  test("because a person rejected a permission", () => {
    const story = new Story();
    const message = story.message("m1", { at: 0, to: 9000, error: "permission_denied" });
    const { run } = story.attempt(message, { at: 10, to: 8000, error: "permission_denied" });
    story.tool(run, "bash", { at: 20, to: 7000, error: "permission_denied" });
    expect(whyFailed(story, message, "permission_denied")).toMatchObject({
      sentence:
        "The message failed because the tool `bash` failed: a person rejected the permission request, or declined to answer the agent's questions (`permission_denied`).",
      remedy: null,
    });
  });
});

test("a workflow: its first failed step, and what failed in that", () => {
  const story = new Story();
  const workflow = story.span("valet.workflow", {
    at: 0,
    to: 9000,
    error: "workflow_step_failed",
    attributes: { "valet.workflow.execution.id": "w1", "valet.workflow.name": "release" },
  });
  const dispatch = story.span("valet.workflow.dispatch", { at: 5, to: 6, parent: workflow });
  const execution = story.span("valet.workflow.execute", {
    at: 6,
    to: 8900,
    parent: dispatch,
    error: "workflow_step_failed",
  });
  story.span("valet.workflow.step build", { at: 10, to: 100, parent: execution });
  const step = story.span("valet.workflow.step test", {
    at: 100,
    to: 4000,
    parent: execution,
    error: "command_failed",
    attributes: { "process.exit.code": 2, "valet.workflow.step.name": "test" },
  });
  story.span("valet.workflow.step ship", { at: 4000, to: 5000, parent: execution, error: "command_timeout" });
  const failure = whyFailed(story, workflow, "workflow_step_failed");
  expect(failure).toMatchObject({
    type: "workflow_step_failed",
    cause: { type: "command_failed" },
    remedy: `${ERRORS.command_failed.remedy} The step is \`test\`.`,
    evidence: [
      { spanId: step.spanId, note: "The step `test` failed after 3.9 s (`command_failed`, exit code 2)." },
      {},
      {},
    ],
  });
  expect(failure.sentence).toBe(
    "The workflow failed because the step `test` failed: a step's command exited with a nonzero exit code, or was killed by a signal (`command_failed`); it ended with `workflow_step_failed`.",
  );
});

test("an abort while a call is tried again: the person is the cause, not the try that failed before", () => {
  const story = new Story();
  const message = story.message("m1", { at: 0, to: 9000, outcome: "aborted", error: "user_abort" });
  const { run } = story.attempt(message, { at: 10, to: 8000, outcome: "aborted", error: "user_abort" });
  const call = story.chat(run, { at: 20, to: 7000, outcome: "aborted", error: "user_abort" });
  story.span("valet.llm.try", {
    at: 20,
    to: 5000,
    parent: call,
    error: "provider_timeout",
    attributes: { "valet.llm.attempt": 1 },
  });
  story.span("valet.llm.try", {
    at: 6000,
    to: 7000,
    parent: call,
    outcome: "aborted",
    error: "user_abort",
    attributes: { "valet.llm.attempt": 2 },
  });
  const failure = whyFailed(story, message, undefined, { outcomeReason: "user_abort" });
  expect(failure.cause?.type).toBe("user_abort");
  expect(failure.sentence).toMatch(
    /^The message was aborted: a person aborted it .* while the model call to .* was in progress\.$/,
  );
});

test("an abort is no error: it says who ended it and what was in progress", () => {
  const story = new Story();
  const message = story.message("m1", { at: 0, to: 9000, outcome: "aborted", error: "user_abort" });
  const { run } = story.attempt(message, { at: 10, to: 8000, outcome: "aborted", error: "user_abort" });
  story.tool(run, "bash", { at: 20, to: 7000, outcome: "aborted", error: "user_abort" });
  expect(whyFailed(story, message, undefined, { outcomeReason: "user_abort" })).toMatchObject({
    type: "user_abort",
    outcome: "aborted",
    sentence: "The message was aborted: a person aborted it (`user_abort`), while the tool `bash` was in progress.",
    remedy: null,
  });
});

test("the end of the session, which is in a trace of its own, is evidence", () => {
  const story = new Story();
  const message = story.message("m1", { at: 0, to: 9000, outcome: "aborted", error: "session_terminated" });
  const attributes = { "valet.terminate.reason": "parent_session_terminated" };
  story.span("valet.session.terminate", { at: 8000, to: 9500, attributes });
  const failure = whyFailed(story, message, undefined, { outcomeReason: "session_terminated" });
  expect(failure.evidence[0]).toMatchObject({
    name: "valet.session.terminate",
    note: "The end of the session succeeded after 1.5 s (reason parent_session_terminated).",
  });
});

test("without spans the record tells what it knows", () => {
  const story = new Story();
  const message = story.message("m1", { at: 0, to: 9000, error: "model_chain_exhausted" });
  const job = story.about(message, {
    failure: { type: "model_chain_exhausted", cause: "provider_timeout", of: "a/one", message: "" },
  });
  expect(failureOf({ ...job, spans: [] })).toEqual({
    type: "model_chain_exhausted",
    outcome: "error",
    sentence:
      "The message failed: every model of the preference list failed (`model_chain_exhausted`); `a/one`: the provider did not answer in time (`provider_timeout`).",
    cause: { type: "provider_timeout", sentence: "The provider did not answer in time (`provider_timeout`)." },
    evidence: [],
    said: null,
    remedy: ERRORS.provider_timeout.remedy,
  });
});

describe("what the provider said of the first cause", () => {
  function failedCall(of: { readonly chat?: string; readonly tool?: string }) {
    const story = new Story();
    const message = story.message("m1", { at: 0, to: 8000, error: "provider_bad_request" });
    const turn = story.attempt(message, { at: 5, to: 7900, error: "provider_bad_request" });
    const said = (text?: string) => (text === undefined ? {} : { attributes: { "error.message": text } });
    if (of.tool === undefined) {
      story.chat(turn.run, { at: 20, to: 7000, error: "provider_bad_request", ...said(of.chat) });
    } else {
      story.span("execute_tool read", {
        at: 20,
        to: 7000,
        parent: turn.run,
        error: "provider_bad_request",
        ...said(of.tool),
      });
    }
    return whyFailed(story, message, "provider_bad_request");
  }

  test("stands in the answer unchanged, if content is captured", () => {
    expect(failedCall({ chat: "max_tokens:\n too large" }).said).toBe("max_tokens:\n too large");
    expect(failedCall({}).said).toBeNull();
  });

  test("is not what something else said", () => {
    expect(failedCall({ tool: "no such file" }).said).toBeNull();
  });
});

describe("a message that has not ended", () => {
  test("and is retried: the first try that failed", () => {
    const story = new Story();
    const message = story.message("m1", { at: 0 });
    const { run } = story.attempt(message, { at: 10 });
    const call = story.chat(run, { at: 20 });
    for (const at of [20, 900])
      story.span("valet.llm.try", {
        at,
        to: at + 500,
        parent: call,
        error: "provider_rate_limited",
        attributes: { "valet.llm.attempt": at === 20 ? 1 : 2, "error.message": "60 a minute" },
      });
    story.span("valet.retry.wait", { at: 1400, parent: call });
    expect(whyFailed(story, message)).toMatchObject({
      type: "provider_rate_limited",
      sentence:
        "The message has not ended: try 1 of the model call failed: the provider answered 429, or reported its own equivalent (`provider_rate_limited`), and `demo`, which has failed 2 times, is called again after a pause.",
      evidence: [{ name: "valet.llm.try" }, { name: "valet.llm.try" }],
      said: "60 a minute",
    });
  });

  test("and has another model: the first one's error", () => {
    const story = new Story();
    const message = story.message("m1", { at: 0 });
    const { turn, run } = story.attempt(message, { at: 10, to: 3000, error: "provider_overloaded", model: "a/one" });
    story.chat(run, { at: 20, to: 2900, error: "provider_overloaded", model: "one" });
    story.run(turn, { at: 3000, model: "b/two", links: [["follows", run]] });
    const failure = whyFailed(story, message);
    expect(failure).toMatchObject({ type: "provider_overloaded", cause: { type: "provider_overloaded" } });
    expect(failure.sentence).toContain("and `b/two` has taken over.");
  });

  test("and waits for another start of its sandbox", () => {
    const story = new Story();
    const message = story.message("m1", { at: 0 });
    story.span("valet.queue.wait", { at: 0, parent: message });
    const failed = story.span("valet.sandbox.spawn", {
      at: 5,
      to: 900,
      error: "broker_unreachable",
      links: [["caused_by", message]],
    });
    const attributes = { "valet.spawn.reason": "recovery" };
    const again = story.span("valet.sandbox.spawn", { at: 2000, links: [["follows", failed]], attributes });
    const failure = whyFailed(story, message);
    expect(failure).toMatchObject({ type: "broker_unreachable", evidence: [{ spanId: failed.spanId }] });
    expect(failure.sentence).toContain("another start is in progress");
    expect(failure.evidence.map(({ spanId }) => spanId)).not.toContain(again.spanId);
  });

  test("and whose runner was lost is in another attempt", () => {
    const story = new Story();
    const message = story.message("m1", { at: 0 });
    story.attempt(message, { at: 10, to: 5000, outcome: "lost", error: "runner_lost" });
    story.attempt(message, { at: 9000 });
    const failure = whyFailed(story, message);
    expect(failure).toMatchObject({ type: "runner_lost", outcome: "lost" });
    // Valet tries again by itself.
    expect(failure.remedy).toBe(ERRORS.runner_lost.remedy.replace("Try again. ", ""));
  });

  test("and works as it should has no failure, and one that ended well neither", () => {
    const story = new Story();
    const message = story.message("m1", { at: 0 });
    const { run } = story.attempt(message, { at: 10 });
    story.tool(run, "bash", { at: 20, to: 90, error: "tool_failed" });
    story.chat(run, { at: 90 });
    expect(failureOf(story.about(message))).toBeNull();
    const ended = story.message("m2", { at: 0, to: 100 });
    const turn = story.attempt(ended, { at: 5, to: 90, outcome: "ok" });
    story.chat(turn.run, { at: 6, to: 9, error: "provider_timeout" });
    expect(failureOf(story.about(ended))).toBeNull();
  });
});

test("whatever the spans say, a cause is never later than its symptoms, and every sentence is whole", () => {
  const NAMES = [
    "valet.prompt.dispatch",
    "valet.turn",
    "invoke_agent build",
    "chat demo",
    "valet.llm.try",
    "execute_tool bash",
    "valet.sandbox.spawn",
    "valet.sandbox.create",
    "valet.queue.wait",
    "valet.runner.bootstrap",
    "valet.workflow.step a",
  ];
  const spec = fc.record({
    name: fc.constantFrom(...NAMES),
    at: fc.integer({ min: -50, max: 100 }),
    length: fc.option(fc.integer({ min: -5, max: 100 }), { nil: undefined }),
    parent: fc.nat(),
    link: fc.option(fc.tuple(fc.constantFrom("caused_by", "follows", "waited_on", "collected"), fc.nat()), {
      nil: undefined,
    }),
    outcome: fc.constantFrom(...OUTCOMES),
    error: fc.option(fc.constantFrom<string>(...ERROR_TYPES, "500", "made_up"), { nil: undefined }),
    root: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.array(spec, { maxLength: 20 }),
      fc.constantFrom(...ERROR_TYPES),
      fc.option(fc.constantFrom(...OUTCOMES), { nil: null }),
      (specs, type, outcome) => {
        const story = new Story();
        const message = story.message("m1", {
          at: 0,
          to: outcome === null ? undefined : 100,
          ...(outcome !== null && { outcome, error: type }),
        });
        for (const { name, at, length, parent, link, root, error, outcome: how } of specs) {
          const any = (index: number) => story.spans[index % story.spans.length] ?? message;
          story.span(name, {
            at,
            to: length === undefined ? undefined : at + length,
            outcome: how,
            ...(error !== undefined && { error }),
            ...(!root && { parent: any(parent) }),
            links: link === undefined ? [] : [[link[0], any(link[1])]],
          });
        }
        // A sandbox may tell of a span that is its own ancestor.
        const last = story.spans.at(-1);
        if (last !== undefined && last !== message)
          story.spans.push({ ...last, spanId: last.spanId, parentId: last.spanId });
        const failure = failureOf(story.about(message, { outcome, failure: { type, message: "" } }));
        if (outcome === "ok") expect(failure).toBeNull();
        else if (outcome !== null) expect(failure).not.toBeNull();
        if (failure === null) return;
        const [cause, ...symptoms] = failure.evidence.map(({ at }) => Date.parse(at));
        for (const symptom of symptoms) expect(cause).toBeLessThanOrEqual(symptom);
        expect(failure.sentence).toMatch(/^The message .*\.$/);
        expect(JSON.stringify(failure)).not.toMatch(/undefined|NaN|null`/);
        for (const each of failure.evidence) expect(each.sessionId).toBe(SESSION);
      },
    ),
    { numRuns: 500 },
  );
});
