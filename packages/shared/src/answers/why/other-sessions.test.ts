import { describe, expect, test } from "vitest";
import { SESSION, Story } from "../../../test/why-spans.ts";
import type { Part, WhyView } from "../../protocol/why.ts";
import { KINDS } from "../../spans.ts";
import { whyLines } from "./lines.ts";
import type { WhyOther, WhySpan } from "./spans.ts";
import { why } from "./why.ts";

const CHILD = "session-child";
const GRANDCHILD = "session-grandchild";

function partOf(parts: readonly Part[], name: Part["name"]): Part | undefined {
  return parts.find((part) => part.name === name);
}

/** The answer, with jobs of other sessions as those tell them. */
function whyWith(story: Story, message: WhySpan, jobs: readonly WhySpan[], more: readonly WhyOther[] = []): WhyView {
  const bySession = Map.groupBy(jobs, ({ sessionId }) => sessionId);
  const others = [...bySession].map(
    ([sessionId, spans]): WhyOther => ({
      sessionId,
      reading: "read",
      jobs: spans.map((span) => ({ job: story.about(span).job, turns: [] })),
    }),
  );
  return why({ ...story.about(message), others: [...others, ...more] });
}

/** A message whose command sends another one to a child session and waits for its end. */
function waitingCommand(child: { readonly to?: number; readonly error?: string }) {
  const story = new Story();
  const message = story.message("m1", { at: 0, ...(child.to !== undefined && { to: 10_000 }) });
  const { run } = story.attempt(message, { at: 10, ...(child.to !== undefined && { to: 9990 }) });
  const tool = story.tool(run, "bash", { at: 100, ...(child.to !== undefined && { to: 9800 }) });
  const request = {
    ...story.span("POST /api/sessions/:id/messages", { at: 200, to: 210, parent: tool, session: CHILD }),
    kind: KINDS.SERVER,
    service: "valet-worker" as const,
  };
  story.spans.splice(-1, 1, request);
  const task = story.message("c1", { at: 205, parent: request, session: CHILD, ...child });
  const work = story.attempt(task, { at: 1205, ...child, ...(child.to !== undefined && { to: child.to - 10 }) });
  return { story, message, tool, task, work };
}

describe("a command that waits for a child session", () => {
  test("has the child's own parts below, with its spans; the rest is the command's", () => {
    const { story, message, task, work } = waitingCommand({ to: 9205 });
    const slow = story.chat(work.run, { at: 1305, to: 9105, cost: 0.5, input: 1, output: 1 });
    const view = whyWith(story, message, [task]);
    const waited = partOf(view.time.parts, "child_session.work");
    expect(waited).toMatchObject({ detail: CHILD, ms: 9000 });
    const model = partOf(waited?.parts ?? [], "model.streaming");
    expect(model).toMatchObject({
      ms: 7800,
      spans: [{ sessionId: CHILD, traceId: slow.traceId, spanId: slow.spanId }],
    });
    expect(partOf(view.time.parts, "tool")?.ms).toBe(700);
    expect(view.sentence).toContain(`9.0 s waiting for the session \`${CHILD}\`, of which 7.8 s`);
    expect(view.money).toMatchObject({ cost_usd: 0, children: [{ sessionId: CHILD, cost_usd: 0.5, known: true }] });
    expect(view.money.sentence).toContain("Besides, a child session cost $0.5000.");
  });

  test("while it works: what the child is in now", () => {
    const { story, message, task, work } = waitingCommand({});
    story.tool(work.run, "webfetch", { at: 1305 });
    const view = whyWith(story, message, [task]);
    expect(view.sentence).toContain("now in the tool `webfetch`");
  });

  test("in a circle: the answer ends", () => {
    const { story, message, work } = waitingCommand({});
    const tool = story.tool(work.run, "bash", { at: 1305 });
    story.message("m2", { at: 1400, parent: tool, session: SESSION });
    const { traceId, spanId } = story.spans.find(
      ({ attributes }) => attributes["valet.message.id"] === "m1",
    ) as WhySpan;
    const wait = story.span("valet.queue.wait", {
      at: 1400,
      parent: story.spans.at(-1) as WhySpan,
      attributes: { "valet.message.id": "m2", "valet.channel.id": "main", "valet.queue.reason": "runner_busy" },
    });
    const dispatch = story.spans.find(
      ({ name, sessionId }) => name === "valet.prompt.dispatch" && sessionId === SESSION,
    );
    story.spans.splice(-1, 1, { ...wait, links: [{ traceId, spanId: dispatch?.spanId ?? spanId, type: "waited_on" }] });
    const view = whyWith(story, message, []);
    expect(view.time.parts.reduce((sum, { ms }) => sum + ms, 0)).toBe(view.time.wall_ms);
  });
});

describe("the cause of a failure is in another session", () => {
  test("a workflow's step failed because the child's clone did", () => {
    const story = new Story();
    const workflow = story.span("valet.workflow", {
      at: 0,
      to: 9000,
      error: "workflow_step_failed",
      attributes: { "valet.workflow.execution.id": "w1" },
    });
    const dispatch = story.span("valet.workflow.dispatch", { at: 5, to: 10, parent: workflow });
    const work = story.span("valet.workflow.execute", {
      at: 10,
      to: 8990,
      parent: dispatch,
      error: "workflow_step_failed",
    });
    const step = story.span("valet.workflow.step ask", { at: 20, to: 8900, parent: work, error: "command_failed" });
    const task = story.message("c1", { at: 100, to: 8000, parent: step, session: CHILD, error: "git_not_found" });
    const spawn = story.span("valet.sandbox.spawn", {
      ...{ at: 110, to: 7900, session: CHILD, error: "git_not_found" },
      links: [["caused_by", task]],
    });
    const clone = story.span("valet.runner.git_clone", { at: 2000, to: 7800, parent: spawn, error: "git_not_found" });
    const { failure } = whyWith(story, workflow, [task]);
    expect(failure).toMatchObject({ type: "workflow_step_failed", cause: { type: "git_not_found" } });
    expect(failure?.sentence).toContain(`in the session \`${CHILD}\`; it ended with \`workflow_step_failed\``);
    expect(failure?.evidence[0]).toMatchObject({ sessionId: CHILD, traceId: clone.traceId, spanId: clone.spanId });
    expect(failure?.evidence.map(({ sessionId }) => sessionId)).toContain(SESSION);
  });

  test("a child ended with its parent", () => {
    const story = new Story();
    const parent = story.span("valet.session.terminate", { at: 500, to: 900, session: "session-parent" });
    const message = story.message("m1", { at: 0, to: 800, outcome: "aborted", error: "session_terminated" });
    story.span("valet.session.terminate", { at: 700, to: 1000, links: [["caused_by", parent]] });
    const { failure } = why(story.about(message, { outcomeReason: "session_terminated" }));
    expect(failure?.sentence).toContain("since its parent session `session-parent` was terminated");
    expect(failure?.evidence[0]).toMatchObject({ sessionId: "session-parent", spanId: parent.spanId });
  });
});

describe("a child session for which nothing waits", () => {
  function spawned(child: { readonly error?: string }) {
    const story = new Story();
    const message = story.message("m1", { at: 0, to: 1000 });
    const { run } = story.attempt(message, { at: 10, to: 990 });
    const tool = story.tool(run, "spawn_session", { at: 100, to: 200 });
    const attributes = { "valet.child_session.id": CHILD };
    story.span("valet.child_session.spawn", { at: 110, to: 190, parent: tool, attributes });
    const task = story.message("c1", { at: 150, to: 9000, session: CHILD, links: [["spawned_by", tool]], ...child });
    const inner = story.attempt(task, { at: 1000, to: 8990, ...child });
    story.chat(inner.run, { at: 1100, to: 3000, cost: 0.25, input: 1, output: 1, ...child });
    return { story, message, task, inner };
  }

  test("failed: its own parts, its cause, in the sentence too", () => {
    const { story, message, task } = spawned({ error: "provider_bad_request" });
    const view = whyWith(story, message, [task]);
    expect(view.failure).toBeNull();
    expect(view.sentence).toContain(`its child session \`${CHILD}\` failed, because of \`provider_bad_request\``);
    expect(view.sessions).toMatchObject([
      { sessionId: CHILD, reading: "read", work: [{ role: "work", messageId: "c1", time: { wall_ms: 8850 } }] },
    ]);
    const failure = view.sessions[0]?.work[0]?.failure;
    expect(failure).toMatchObject({ type: "provider_bad_request" });
    // What to do about the child is said where its parent is asked about, too.
    expect(failure?.remedy).toContain("Check that the model takes tool calls");
    expect(view.sessions[0]?.sentence).toBe(`The session \`${CHILD}\`: ${failure?.sentence} ${failure?.remedy}`);
    expect(whyLines(view).join("\n")).toContain(`Session ${CHILD}, c1:`);
  });

  test("the report about it names what it reports", () => {
    const { story, task } = spawned({ error: "provider_bad_request" });
    const report = story.span("valet.child_session.report", {
      ...{ at: 9001, to: 9005, session: CHILD },
      links: [["caused_by", task]],
    });
    const told = story.message("m2", { at: 9004, to: 9500, links: [["caused_by", report]] });
    const view = whyWith(story, told, [task]);
    expect(view.sentence).toContain(`it reports that \`${CHILD}\` failed`);
    expect(view.sessions[0]?.work[0]).toMatchObject({ role: "cause", messageId: "c1" });
    expect(view.money.children).toEqual([]);
  });

  test("the report about a start that failed names the message that waited for it", () => {
    const story = new Story();
    const task = story.message("c1", { at: 150, to: 5000, session: CHILD, error: "git_unreachable" });
    const spawn = story.span("valet.sandbox.spawn", { at: 160, to: 4900, session: CHILD, error: "git_unreachable" });
    story.span("valet.queue.wait", { at: 160, to: 4990, parent: task, links: [["waited_on", spawn]] });
    const report = story.span("valet.child_session.report", {
      ...{ at: 5001, to: 5005, session: CHILD },
      links: [["caused_by", spawn]],
    });
    const told = story.message("m2", { at: 5004, to: 5500, links: [["caused_by", report]] });
    const view = whyWith(story, told, [task]);
    expect(view.sessions[0]?.work).toMatchObject([{ role: "cause", messageId: "c1" }]);
    expect(view.sentence).toContain("because of `git_unreachable`");
  });

  test("its own children belong to the answer, and other messages do not", () => {
    const { story, message, task, inner } = spawned({});
    const tool = story.tool(inner.run, "spawn_session", { at: 4000, to: 4100 });
    const deep = story.message("g1", { at: 4050, to: 6000, session: GRANDCHILD, links: [["spawned_by", tool]] });
    const unrelated = story.message("c2", { at: 9100, to: 9200, session: CHILD });
    const view = whyWith(story, message, [task, unrelated, deep]);
    expect(view.sessions.map(({ work }) => work.map(({ messageId }) => messageId))).toEqual([["c1"], ["g1"]]);
  });

  test("and that may have more work than it told of: what it cost is a lower bound", () => {
    const { story, message, task } = spawned({});
    const jobs = [{ job: story.about(task).job, turns: [] }];
    const costOf = (lacksJobs: boolean) =>
      why({ ...story.about(message), others: [{ sessionId: CHILD, reading: "read", jobs, lacksJobs }] }).money.children;
    expect(costOf(false)).toEqual([{ sessionId: CHILD, cost_usd: 0.25, known: true }]);
    expect(costOf(true)).toEqual([{ sessionId: CHILD, cost_usd: 0.25, known: false }]);
  });

  test("and whose runner is not heard: what it costs is a lower bound", () => {
    const { story, message, task } = waitingCommand({});
    const knownWith = (runnerGoneMs: number | undefined) => {
      const jobs = [{ job: story.about(task).job, turns: [], runnerGoneMs }];
      const view = why({ ...story.about(message), others: [{ sessionId: CHILD, reading: "read", jobs }] });
      return view.sessions.flatMap(({ work }) => work.map(({ state, known }) => [state, known]));
    };
    const { acceptedAtMs } = story.about(task).job;
    expect(knownWith(undefined)).toEqual([["running", true]]);
    expect(knownWith(acceptedAtMs + 1500)).toEqual([["running", false]]);
  });

  test.each([
    ["deleted", "was deleted"],
    ["gone", "does not exist any more"],
    ["slow", "did not answer in time"],
    ["older", "an older version"],
    ["failed", "could not answer"],
    ["left_out", "was not asked"],
  ] as const)("and that is %s: this is said, and its cost is unknown", (reading, text) => {
    const { story, message } = spawned({});
    const view = whyWith(story, message, [], [{ sessionId: CHILD, reading, jobs: [] }]);
    expect(view.sessions[0]?.sentence).toContain(text);
    expect(view.money.children).toEqual([{ sessionId: CHILD, cost_usd: null, known: false }]);
    expect(view.money.sentence).toContain("What a child session cost besides is unknown.");
  });
});
