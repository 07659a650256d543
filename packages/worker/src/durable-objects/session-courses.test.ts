/**
 * A few random courses of a session on the platform itself, with its sockets, its evictions and a broker over HTTP; thousands
 * run in session-courses.fuzz.test.ts, on a stand-in for those.
 */
import type { FromRunnerOf } from "@valet/shared/protocol/runner-link";
import { QUEUE_MODES, type QueueMode } from "@valet/shared/spans";
import fc from "fast-check";
import { expect, test } from "vitest";
import { expectCatalogued } from "../../test/catalogue.ts";
import { eventually } from "../../test/eventually.ts";
import { FakeRunner, NO_WORK } from "../../test/fake-runner.ts";
import { CALLER, TestSession, valueIn } from "../../test/session.ts";

const RUNS = 3;
const STEPS = 25;

type Step =
  | { readonly do: "send"; readonly mode: QueueMode; readonly channel: "a" | "b" }
  | { readonly do: "elapse"; readonly timer: string }
  | { readonly do: "fail"; readonly call: "create" | "restore" | "snapshot" | "terminate" }
  | { readonly do: "again" | "hibernate" | "wake" | "abort" | "withdraw" | "clear" | "boot" | "accept" | "finish" }
  | { readonly do: "workflow"; readonly step: "prompt" | "command"; readonly channel: "a" | "b" }
  | { readonly do: "twice" | "drop" | "return" | "restart" | "stop" | "evict" | "crash" };

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("send" as const),
      mode: fc.constantFrom(...QUEUE_MODES),
      channel: fc.constantFrom("a" as const, "b" as const),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("workflow" as const),
      step: fc.constantFrom("prompt" as const, "command" as const),
      channel: fc.constantFrom("a" as const, "b" as const),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom("boot" as const, "accept" as const, "finish" as const, "stop" as const),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom(
        "again" as const,
        "hibernate" as const,
        "wake" as const,
        "abort" as const,
        "withdraw" as const,
        "clear" as const,
      ),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom("twice" as const, "drop" as const, "return" as const, "restart" as const),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom("evict" as const, "crash" as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("elapse" as const),
      timer: fc.constantFrom(
        "grace",
        "accept",
        "abort",
        "stuck",
        "collect",
        "idle",
        "start",
        "recover",
        "stop",
        "operation",
        "orphan",
        "link",
      ),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("fail" as const),
      call: fc.constantFrom("create" as const, "restore" as const, "snapshot" as const, "terminate" as const),
    }),
  },
);

/** The session's world: its runner, as far as there is one, and what has been sent. */
class World {
  readonly session = new TestSession();
  readonly sent: string[] = [];
  /** The first of them, to be sent again. */
  first:
    | { readonly id: string; readonly content: string; readonly queueMode: QueueMode; readonly channel: string }
    | undefined;
  readonly started: string[] = [];
  readonly dispatched: string[] = [];
  /** Executions whose command has begun. */
  readonly commanded: string[] = [];
  runner: FakeRunner | undefined;
  /** What the runner works on, and what it has ended. */
  working = new Set<string>();
  readonly workflows = new Set<string>();
  /** The frames that are sent until they are acknowledged. Ends of turns are sent once, as by a runner without a journal. */
  readonly owed = new Map<string, FromRunnerOf<"workflow-ended">>();
  ended: string[] = [];
  #taken = 0;

  async step(step: Step): Promise<void> {
    const { session, runner } = this;
    switch (step.do) {
      case "send": {
        const input = { content: "x", queueMode: step.mode, channel: step.channel };
        const result = await session.stub.sendMessage(input, CALLER);
        // A hibernate that finds no snapshot ends the session, and it takes no more.
        if (result.ok) {
          this.sent.push(result.value.messageId);
          this.first ??= { ...input, id: result.value.messageId };
        } else expect(result.problem.type).toBe("urn:valet:problem:session-ended");
        return;
      }
      case "workflow": {
        const prompt = { name: "ask", prompt: "x" };
        const steps = step.step === "prompt" ? [prompt] : [{ name: "run", run: "x" }, prompt];
        const result = await session.stub.startWorkflow({ name: "w", steps, channel: step.channel }, CALLER);
        if (result.ok) this.started.push(result.value.executionId);
        else expect(result.problem.type).toBe("urn:valet:problem:session-ended");
        return;
      }
      case "again":
        if (this.first !== undefined) expect(await session.send(this.first.content, this.first)).toBe(this.first.id);
        return;
      case "hibernate":
      case "wake":
      case "abort":
        await session.stub[step.do](CALLER);
        return;
      case "withdraw":
        if (this.sent.length > 0) await session.stub.withdraw(this.sent.at(-1) as string, CALLER);
        return;
      case "clear":
        await session.stub.clearQueue(CALLER);
        return;
      case "boot":
        return this.boot();
      case "restart":
        for (const id of this.working) if (this.workflows.has(id)) this.#end(id, "error", "runner_lost");
        this.working.clear();
        return this.#connect(undefined, true);
      case "return":
        return this.#connect(runner?.instanceId, true);
      case "drop":
        runner?.close();
        return;
      case "accept":
        return this.accept();
      case "finish":
        return this.finish();
      case "twice": {
        const attemptId = this.ended.at(-1);
        if (attemptId !== undefined && this.#isUp) this.#end(attemptId);
        return;
      }
      case "stop":
        return this.stop();
      case "evict":
        return session.evict().catch(() => {});
      case "crash":
        return session.crash();
      case "elapse":
        return session.elapse(step.timer).catch(() => {});
      case "fail":
        return session.broker.script({
          [step.call]: [
            { problem: { status: 500, code: step.call === "snapshot" ? "snapshot_failed" : "start_failed" } },
          ],
        });
    }
  }

  get #isUp(): boolean {
    return this.runner !== undefined && this.runner.closed === undefined;
  }

  /** A runner comes up if one is expected. */
  async boot(): Promise<void> {
    const { status, agent } = await this.session.view();
    if (!["starting", "restoring"].includes(status) && agent !== "disconnected") return;
    if (status === "starting" || status === "restoring") {
      this.working.clear();
      this.owed.clear();
    }
    await this.#connect(undefined, false);
  }

  async #connect(instanceId: string | undefined, ready: boolean): Promise<void> {
    const { status } = await this.session.view();
    if (!["starting", "restoring", "running", "hibernating"].includes(status)) return;
    const calls = [...(await this.session.broker.calls("create")), ...(await this.session.broker.calls("restore"))];
    const { generation } = await this.session.view();
    const body = calls.map((call) => call.body).find((each) => each?.generation === generation);
    if (body === undefined) return;
    const identity = { token: body.runnerToken, generation, ...(instanceId !== undefined && { instanceId }) };
    const runner = await FakeRunner.open(this.session.stub, identity);
    const hello = {
      instanceId: runner.instanceId,
      generation,
      ready,
      attempts: [...this.working, ...this.owed.keys()],
    };
    runner.send({ ...hello, type: "hello", protocol: 1, clockMs: Date.now(), version: "1" });
    for (const end of this.owed.values()) runner.send(end);
    if (!ready) runner.send({ type: "stage", stage: "ready" });
    await eventually(() => expect(runner.heard.length).toBeGreaterThan(0));
    if (runner.heard[0]?.type === "refused") return;
    this.runner = runner;
    this.#taken = 0;
  }

  /** Accepts every received prompt, and ends the attempts that are being aborted. */
  async accept(): Promise<void> {
    const { runner } = this;
    if (runner === undefined) return;
    for (const frame of runner.heard.slice(this.#taken)) {
      if (frame.type === "prompt") {
        this.dispatched.push(frame.dispatch.attemptId);
        this.working.add(frame.dispatch.attemptId);
        if (this.#isUp) runner.send({ type: "attempt-accepted", attemptId: frame.dispatch.attemptId });
      }
      if (frame.type === "workflow-execute") {
        const { attemptId, executionId, steps, firstStep } = frame.dispatch;
        this.dispatched.push(attemptId);
        this.working.add(attemptId);
        this.workflows.add(attemptId);
        if (firstStep === 0 && "run" in (steps[0] ?? {})) this.commanded.push(executionId);
        if (this.#isUp) runner.send({ type: "attempt-accepted", attemptId });
      }
      if (frame.type === "turn-ended-ack") this.owed.delete(frame.attemptId);
      if (frame.type === "abort" && this.working.has(frame.attemptId) && this.#isUp) {
        this.#end(frame.attemptId, "aborted");
      }
    }
    this.#taken = runner.heard.length;
  }

  async finish(): Promise<void> {
    await this.accept();
    if (this.#isUp) for (const attemptId of this.working) this.#end(attemptId);
  }

  async stop(): Promise<void> {
    await this.finish();
    if (this.#isUp && this.runner?.heard.some(({ type }) => type === "shutdown")) this.runner.send({ type: "stopped" });
  }

  #end(attemptId: string, outcome: "ok" | "aborted" | "error" = "ok", errorType?: "runner_lost"): void {
    this.working.delete(attemptId);
    this.ended.push(attemptId);
    const end = { attemptId, outcome, summary: NO_WORK };
    if (this.workflows.has(attemptId)) {
      const frame: FromRunnerOf<"workflow-ended"> = { ...end, type: "workflow-ended", steps: [] };
      if (errorType !== undefined) frame.errorType = errorType;
      this.owed.set(attemptId, frame);
      if (this.#isUp) this.runner?.send(frame);
    } else {
      this.runner?.send({ type: "turn-ended", ...end, parts: [] });
    }
  }

  /** Everything is allowed to come to its end. */
  async settle(): Promise<void> {
    const { session } = this;
    await session.broker.script({ create: [], restore: [], snapshot: [], terminate: [] });
    await eventually(async () => {
      const { status, agent, queueLength } = await session.view();
      for (const timer of ["recover", "collect", "operation", "orphan"]) await session.elapse(timer).catch(() => {});
      if (agent === "disconnected" || status === "starting" || status === "restoring") await this.boot();
      await this.stop();
      if (agent === "disconnected") await session.elapse("grace").catch(() => {});
      expect([queueLength, agent]).toEqual([0, agent === "none" ? "none" : "idle"]);
    });
  }
}

test("whatever happens, every message ends once and every operation has an outcome", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyStep, { minLength: 5, maxLength: STEPS }), async (steps) => {
      const world = new World();
      const { session } = world;
      await session.create({ prompt: "first" });
      for (const step of steps) await world.step(step);
      const { status } = await session.view();
      if (status !== "terminated" && status !== "terminating") await world.settle();
      const { messages } = valueIn(await session.stub.messages());
      expect(messages.filter((message) => message.status !== "done" || message.outcome === undefined)).toEqual([]);
      expect(messages.map(({ id }) => id).slice(1)).toEqual(world.sent);
      expect(new Set(world.dispatched).size).toBe(world.dispatched.length);
      const { workflows } = valueIn(await session.stub.workflows());
      expect(workflows.filter((workflow) => workflow.status !== "done" || workflow.outcome === undefined)).toEqual([]);
      expect(workflows.map(({ id }) => id)).toEqual(world.started);
      expect(new Set(world.commanded).size).toBe(world.commanded.length);

      valueIn(await session.stub.terminate(CALLER));
      await eventually(async () => {
        await world.stop();
        await session.elapse("stop").catch(() => {});
        expect((await session.view()).status).toBe("terminated");
      });
      await eventually(async () => {
        await session.elapse("orphan").catch(() => {});
        expect((await session.spans()).filter(({ isOpen }) => isOpen)).toEqual([]);
      });
      const spans = await session.spans();
      expectCatalogued(session.id, spans);
      expect(spans.filter(({ name }) => name === "valet.prompt")).toHaveLength(messages.length);
      expect(spans.filter(({ name }) => name === "valet.workflow")).toHaveLength(workflows.length);
      expect(spans.filter(({ name }) => name === "valet.session.terminate")).toHaveLength(1);
    }),
    { numRuns: RUNS, endOnFailure: true },
  );
}, 120_000);
