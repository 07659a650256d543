/** The attempts of messages and workflows at a runner: their acceptance, their ends, and what a successor does with them. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { createAgent, DONE } from "../test/agent.ts";
import { temporaryFolder } from "../test/folder.ts";
import { config, dispatch, framesOf, readSpans, spansOf, workflowDispatch } from "../test/link-server.ts";
import { setUp } from "../test/runner.ts";
import { runCommand } from "./jobs/command.ts";
import { openSpanText, type RunnerTracer } from "./spans/tracing.ts";

describe("a dispatch", () => {
  test("is accepted with its open span; its end is sent after its spans until it is acknowledged", async () => {
    const { server, agent, ready } = setUp();
    await ready();
    server.send({ type: "prompt", dispatch: dispatch("att_1", { content: "Say hello." }) });
    const { span } = await server.frame("attempt-accepted");
    expect(JSON.parse(span ?? "{}")).toMatchObject({ name: "valet.turn" });
    expect(agent.runs).toEqual([dispatch("att_1")]);
    agent.end("att_1");
    expect(await server.frame("turn-ended")).toEqual({ type: "turn-ended", attemptId: "att_1", ...DONE });
    const at = server.received.findIndex(({ type }) => type === "turn-ended");
    expect(spansOf(server.received.slice(0, at)).map(({ name }) => name)).toContain("valet.turn");
    server.drop();
    await server.hello(1);
    server.send({ type: "shutdown", reason: "hibernate" });
    await server.frame("stopped");
    expect(framesOf(server.connections[1]!.frames, "hello")[0]?.attempts).toEqual([]);
    expect(framesOf(server.received, "turn-ended").length).toBe(1);
  });

  test("has its last spans in the frame of its end, if the SessionAgent supports that", async () => {
    const greeting = [{ ...config(), takesSpansInEnds: true }, { type: "repo-config" }] as const;
    const { server, ready, agent, outbox } = setUp({ greeting });
    await ready();
    await vi.waitFor(() => expect(outbox.isEmpty).toBe(true), 20_000);
    const before = framesOf(server.received, "spans").length;
    server.send({ type: "prompt", dispatch: dispatch("att_1") });
    await server.frame("attempt-accepted");
    agent.end("att_1");
    const { spans } = await server.frame("turn-ended");
    expect(readSpans(spans?.otlp ?? "").map(({ name }) => name)).toEqual(["valet.turn"]);
    // The acknowledgement of the end also acknowledges the spans.
    await vi.waitFor(() => expect(outbox.isEmpty).toBe(true), 20_000);
    expect(framesOf(server.received, "spans")).toHaveLength(before);

    server.send({ type: "workflow-execute", dispatch: workflowDispatch("att_2") });
    await server.frame("attempt-accepted", ({ attemptId }) => attemptId === "att_2");
    agent.endWorkflow("att_2");
    const { spans: last } = await server.frame("workflow-ended");
    expect(readSpans(last?.otlp ?? "").map(({ name }) => name)).toEqual(["valet.workflow.execute"]);
  });

  test("whose end was lost with its last spans resends both, to any version of the SessionAgent", async () => {
    const greeting = [{ ...config(), takesSpansInEnds: true }, { type: "repo-config" }] as const;
    const { server, ready, agent, outbox } = setUp({ greeting });
    await ready();
    server.settings.acknowledges = false;
    server.send({ type: "prompt", dispatch: dispatch("att_1") });
    await server.frame("attempt-accepted");
    agent.end("att_1");
    const { spans } = await server.frame("turn-ended");
    // An older version, which would ignore spans in the frame of an end.
    server.settings.greeting = [config(), { type: "repo-config" }];
    server.settings.acknowledges = true;
    server.drop();
    const again = await server.waitUntil(() => {
      const frames = server.connections[1]?.frames ?? [];
      return frames.some(({ type }) => type === "turn-ended") ? frames : undefined;
    });
    expect(framesOf(again, "spans").find(({ seq }) => seq === spans?.seq)?.otlp).toBe(spans?.otlp);
    expect(framesOf(again, "turn-ended").map((frame) => frame.spans)).toEqual([undefined]);
    await vi.waitFor(() => expect(outbox.isEmpty).toBe(true), 20_000);

    server.send({ type: "prompt", dispatch: dispatch("att_2") });
    await server.frame("attempt-accepted", ({ attemptId }) => attemptId === "att_2");
    agent.end("att_2");
    expect((await server.frame("turn-ended", ({ attemptId }) => attemptId === "att_2")).spans).toBeUndefined();
    expect(spansOf(server.received).filter(({ name }) => name === "valet.turn")).toHaveLength(2);
  });

  test("that is repeated runs once, whether it is running, ended or acknowledged", async () => {
    const { server, agent, ready, problems } = setUp({ acknowledges: false });
    await ready();
    const prompt = { type: "prompt", dispatch: dispatch("att_1") } as const;
    server.send(prompt);
    server.send(prompt);
    await server.waitUntil(() => (framesOf(server.received, "attempt-accepted").length === 2 ? true : undefined));
    const [first, second] = framesOf(server.received, "attempt-accepted");
    expect(second).toEqual(first);
    agent.end("att_1");
    await server.frame("turn-ended");
    server.send(prompt);
    await server.waitUntil(() => (framesOf(server.received, "turn-ended").length === 2 ? true : undefined));
    server.send({ type: "turn-ended-ack", attemptId: "att_1" });
    server.send({ type: "turn-ended-ack", attemptId: "att_1" });
    server.send(prompt);
    await vi.waitFor(() => expect(problems).toContain("an attempt was dispatched again after its end"), 20_000);
    expect(agent.runs.length).toBe(1);
    expect(framesOf(server.received, "turn-ended").length).toBe(2);
  });

  test("continues while the link is down; the new link carries what is unacknowledged, spans before ends", async () => {
    const { server, agent, ready } = setUp({ acknowledges: false });
    await ready();
    for (const id of ["att_1", "att_2"]) server.send({ type: "prompt", dispatch: dispatch(id) });
    await server.frame("attempt-accepted", ({ attemptId }) => attemptId === "att_2");
    const asked = { type: "permission-asked", attemptId: "att_2", permissionId: "per_1", permission: "bash" } as const;
    agent.tell({ ...asked, detail: "ls" });
    const question = { question: "Which?", header: "", options: [] };
    agent.tell({ type: "question-asked", attemptId: "att_2", questionId: "que_1", questions: [question] });
    await server.frame("question-asked");
    server.settings.status = 503;
    server.drop();
    await server.waitUntil(() => (server.isUp() ? undefined : true));
    agent.end("att_1");
    delete (server.settings as { status?: number }).status;
    await server.waitUntil(() => (framesOf(server.received, "turn-ended").length > 0 ? true : undefined));
    const { frames } = server.connections.at(-1)!;
    expect(frames.filter(({ type }) => type !== "spans").map(({ type }) => type)).toEqual([
      "hello",
      "stage",
      "attempt-accepted",
      "permission-asked",
      "question-asked",
      "turn-ended",
    ]);
    expect(framesOf(frames, "hello")[0]).toMatchObject({ attempts: ["att_2", "att_1"], ready: true });
    expect(framesOf(frames, "attempt-accepted")[0]?.attemptId).toBe("att_2");
    expect(frames.findLastIndex(({ type }) => type === "spans")).toBeLessThan(
      frames.findIndex(({ type }) => type === "turn-ended"),
    );
    expect(spansOf(frames).filter(({ name }) => name === "valet.turn").length).toBe(1);
  });

  test("can be aborted, and receives replies", async () => {
    const { server, agent, ready } = setUp();
    await ready();
    server.send({ type: "prompt", dispatch: dispatch("att_1") });
    await server.frame("attempt-accepted");
    const replies = [
      { type: "permission-reply", permissionId: "per_1", reply: "once" },
      { type: "question-reply", questionId: "que_1", answers: [["Hello"]] },
    ] as const;
    for (const reply of replies) server.send(reply as never);
    server.send({ type: "abort", attemptId: "att_2", reason: "steered" });
    server.send({ type: "abort", attemptId: "att_1", reason: "user_abort" });
    expect(await server.frame("turn-ended")).toMatchObject({ outcome: "aborted", errorType: "user_abort" });
    expect(agent.replies).toEqual(replies);
  });

  test("is refused if it cannot be recorded or started", async () => {
    const agent = createAgent();
    const { server, ready, problems } = setUp({
      agent,
      runner: {
        startAgent: (start) => {
          const started = agent.startAgent(start);
          const run = () => {
            throw new RangeError("secret");
          };
          return { ...started, agent: { ...started.agent, jobs: { ...started.agent.jobs, run } } };
        },
      },
    });
    await ready();
    server.send({ type: "prompt", dispatch: dispatch("att_1") });
    expect(await server.frame("attempt-refused")).toMatchObject({ attemptId: "att_1", errorType: "_OTHER" });
    expect(problems).toEqual(["an attempt could not begin: RangeError"]);
  });
});

describe("the successor of a dead runner", () => {
  test("delivers that runner's spans with its instance id, ends its running attempts, and resends its ends", async () => {
    const home = temporaryFolder();
    const first = setUp({ home, acknowledges: false, instanceId: "one" });
    await first.ready();
    for (const id of ["att_1", "att_2"]) first.server.send({ type: "prompt", dispatch: dispatch(id) });
    await first.server.frame("attempt-accepted", ({ attemptId }) => attemptId === "att_2");
    first.agent.end("att_1");
    await first.server.frame("turn-ended");
    const { server, agent, ready, span } = setUp({ home, instanceId: "two" });
    await ready();
    expect(framesOf(server.received, "hello")[0]).toMatchObject({ instanceId: "two", attempts: ["att_1", "att_2"] });
    const ends = framesOf(server.received, "turn-ended");
    expect(ends.map(({ attemptId, outcome, errorType }) => [attemptId, outcome, errorType])).toEqual([
      ["att_1", "ok", undefined],
      ["att_2", "error", "runner_lost"],
    ]);
    // The dead runner had already sent the context of its work.
    const [, opened] = framesOf(first.server.received, "attempt-accepted");
    const { context } = JSON.parse(opened?.span ?? "{}");
    const lost = await server.waitUntil(() =>
      spansOf(server.received).find(({ attributes }) => attributes["valet.outcome"] === "lost"),
    );
    expect(lost).toMatchObject({ name: "valet.turn", spanId: context.spanId, status: { code: 2 } });
    expect(lost.attributes).toMatchObject({ "error.type": "runner_lost", "valet.dispatch.attempt_id": "att_2" });
    expect(Number(lost.attributes["valet.last_seen_ms"])).toBeGreaterThan(Date.now() - 60_000);
    await span("valet.runner.bootstrap");
    const byInstance = framesOf(server.received, "spans").filter(({ instanceId }) => instanceId === "one");
    expect(spansOf(byInstance).map(({ name }) => name)).toEqual(spansOf(first.server.received).map(({ name }) => name));
    // Nobody has told it what ended that one.
    expect([ends[1]?.cause, lost.attributes["valet.error.cause"]]).toEqual([undefined, undefined]);
    server.send({ type: "prompt", dispatch: dispatch("att_2") });
    server.send({ type: "prompt", dispatch: dispatch("att_3") });
    await server.frame("attempt-accepted");
    expect(agent.runs.map(({ attemptId }) => attemptId)).toEqual(["att_3"]);
  });

  test("names the limit of the sandbox that ended that runner, as it was told, on what was open, and on no end of before", async () => {
    const home = temporaryFolder();
    const first = setUp({ home, acknowledges: false });
    await first.ready();
    first.server.send({ type: "prompt", dispatch: dispatch("att_1") });
    first.server.send({ type: "prompt", dispatch: dispatch("att_2") });
    first.server.send({ type: "workflow-execute", dispatch: workflowDispatch("att_3") });
    await first.server.frame("attempt-accepted", ({ attemptId }) => attemptId === "att_3");
    const tracer = first.agent.start()?.tracer as RunnerTracer;
    const call = tracer.startSpan("valet.workflow.step deploy", {
      attributes: { "valet.workflow.step.name": "deploy" },
    });
    const state = { index: 0, status: "running" } as const;
    first.agent.tell({ type: "workflow-step", attemptId: "att_3", state, span: openSpanText(call) as string });
    first.agent.end("att_1");
    await first.server.frame("turn-ended");
    const { server } = setUp({ home, runner: { restartCause: "sandbox_out_of_processes" } });
    const workflow = await server.frame("workflow-ended");
    const cause = "sandbox_out_of_processes";
    expect(workflow).toMatchObject({ attemptId: "att_3", errorType: "runner_lost", cause });
    const ends = framesOf(server.received, "turn-ended");
    expect(ends.map((end) => [end.attemptId, end.errorType, end.cause])).toEqual([
      ["att_1", undefined, undefined],
      ["att_2", "runner_lost", cause],
    ]);
    const causes = await server.waitUntil(() => {
      const spans = spansOf(server.received).filter(({ attributes }) => attributes["valet.outcome"] === "lost");
      return spans.length >= 3
        ? spans.map(({ name, attributes }) => [name, attributes["valet.error.cause"]])
        : undefined;
    });
    expect(causes).toEqual(
      expect.arrayContaining([
        ["valet.turn", cause],
        ["valet.workflow.execute", cause],
        ["valet.workflow.step deploy", cause],
      ]),
    );
  });
});

describe("a workflow", () => {
  const running = { index: 0, status: "running" } as const;
  const done = { index: 0, status: "done", outcome: "ok", output: "built" } as const;

  test("is accepted with its open span; its steps are sent, again on a new link; its end is sent until it is acknowledged", async () => {
    const { server, agent, ready } = setUp({ acknowledges: false });
    await ready();
    server.send({ type: "workflow-execute", dispatch: workflowDispatch("att_1") });
    const { span } = await server.frame("attempt-accepted");
    expect(JSON.parse(span ?? "{}")).toMatchObject({ name: "valet.workflow.execute" });
    expect(agent.executions).toEqual([workflowDispatch("att_1")]);
    for (const state of [running, done, { ...running, index: 1 }]) {
      agent.tell({ type: "workflow-step", attemptId: "att_1", state });
    }
    await server.frame("workflow-step", ({ state }) => state.index === 1);
    server.drop();
    await server.hello(1);
    await server.waitUntil(() => server.connections[1]?.frames.find(({ type }) => type === "workflow-step"));
    const again = () => framesOf(server.connections[1]?.frames ?? [], "workflow-step").map(({ state }) => state);
    await vi.waitFor(() => expect(again()).toEqual([done, { ...running, index: 1 }]), 20_000);
    agent.endWorkflow("att_1", { steps: [done] });
    const ended = { type: "workflow-ended", attemptId: "att_1", outcome: "ok", steps: [done], summary: DONE.summary };
    expect(await server.frame("workflow-ended")).toEqual(ended);
    const at = server.received.findIndex(({ type }) => type === "workflow-ended");
    expect(spansOf(server.received.slice(0, at)).map(({ name }) => name)).toContain("valet.workflow.execute");
    server.drop();
    await server.hello(2);
    await vi.waitFor(() => expect(framesOf(server.received, "workflow-ended")).toEqual([ended, ended]), 20_000);
    server.send({ type: "turn-ended-ack", attemptId: "att_1" });
    server.drop();
    expect((await server.hello(3)).attempts).toEqual([]);
  });

  test("that is dispatched again is executed once", async () => {
    const { server, agent, ready, problems } = setUp({ acknowledges: false });
    await ready();
    const frame = { type: "workflow-execute", dispatch: workflowDispatch("att_1") } as const;
    server.send(frame);
    server.send(frame);
    await vi.waitFor(() => expect(framesOf(server.received, "attempt-accepted")).toHaveLength(2), 20_000);
    agent.endWorkflow("att_1");
    await server.frame("workflow-ended");
    server.send(frame);
    await vi.waitFor(() => expect(framesOf(server.received, "workflow-ended")).toHaveLength(2), 20_000);
    server.send({ type: "turn-ended-ack", attemptId: "att_1" });
    server.send(frame);
    await vi.waitFor(() => expect(problems).toContain("an attempt was dispatched again after its end"), 20_000);
    expect(agent.executions).toHaveLength(1);
  });

  test("of a dead runner is ended by the next: done steps stay done, the running one is lost and its command killed", async () => {
    const home = temporaryFolder();
    const first = setUp({ home, acknowledges: false, instanceId: "one" });
    await first.ready();
    first.server.send({ type: "workflow-execute", dispatch: workflowDispatch("att_1") });
    await first.server.frame("attempt-accepted");
    const tracer = first.agent.start()?.tracer as RunnerTracer;
    const attributes = { "valet.workflow.step.name": "deploy" };
    const step = tracer.startSpan("valet.workflow.step deploy", { attributes });
    first.agent.tell({ type: "workflow-step", attemptId: "att_1", state: done });
    const span = openSpanText(step) as string;
    first.agent.tell({ type: "workflow-step", attemptId: "att_1", state: { ...running, index: 1 }, span });
    const ending = new AbortController();
    const command = runCommand({
      run: "touch begun; sleep 61.31",
      workspace: home,
      env: process.env,
      stepId: "att_1/1",
      context: step.context,
      timeoutMs: 60_000,
      signal: ending.signal,
    });
    await vi.waitFor(() => expect(existsSync(join(home, "begun"))).toBe(true), { timeout: 20_000 });
    const { server, span: spanNamed } = setUp({ home, instanceId: "two" });
    const ended = await server.frame("workflow-ended");
    expect(ended).toMatchObject({ attemptId: "att_1", outcome: "error", errorType: "runner_lost" });
    expect(ended.steps).toEqual([done, { index: 1, status: "done", outcome: "lost", errorType: "runner_lost" }]);
    expect(await command).toMatchObject({ exitCode: undefined });
    const lost = await spanNamed("valet.workflow.step deploy");
    expect(lost).toMatchObject({ spanId: step.context.spanId, status: { code: 2 } });
    expect(lost.attributes).toMatchObject({ "valet.outcome": "lost", "error.type": "runner_lost" });
    const execution = await spanNamed("valet.workflow.execute");
    expect(execution).toMatchObject({ attributes: { "valet.outcome": "lost" } });
    expect(execution.endTimeUnixNano).toBe(lost.endTimeUnixNano);
  });
});
