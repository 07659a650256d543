/**
 * Random courses of a family: the parent's agent spawns, sends messages and repeats requests, children work and fail,
 * objects die or are evicted, and calls between them are lost. At the end everything is completed. Then every request
 * that was answered as done was done once, and every report was delivered once.
 */
import fc from "fast-check";
import { afterEach, expect, test, vi } from "vitest";
import { eventually } from "../../../test/eventually.ts";
import { FakeRunner, NO_WORK } from "../../../test/fake-runner.ts";
import { childrenOf, requestOf } from "../../../test/family.ts";
import { TestSession, valueIn } from "../../../test/session.ts";
import { SessionAgent } from "../session-agent.ts";

const RUNS = 6;
const STEPS = 14;
const CALLS = ["create", "takeParentMessage", "takeChildReport"] as const;

type Frame = ReturnType<typeof requestOf>;

type Step =
  | { readonly do: "spawn" | "again" | "mend" | "elapse" }
  | { readonly do: "say" | "work" | "fail"; readonly child: number }
  | { readonly do: "crash" | "evict"; readonly who: number }
  | { readonly do: "break"; readonly call: (typeof CALLS)[number] };

const number = fc.nat({ max: 3 });
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom("spawn" as const, "again" as const) }) },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constantFrom("say" as const, "work" as const, "fail" as const), child: number }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom("crash" as const, "evict" as const), who: number }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("break" as const), call: fc.constantFrom(...CALLS) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom("mend" as const, "elapse" as const) }) },
);

afterEach(() => vi.restoreAllMocks());

/** A session and its runner, which reconnects when its link was cut. */
class Member {
  readonly session: TestSession;
  #runner: FakeRunner | undefined;
  /** The generation in which its runner was ready. */
  #generation = 0;

  constructor(session: TestSession) {
    this.session = session;
  }

  /**
   * Returns the runner; `undefined` when the sandbox has just been replaced, since an object that dies while it
   * requests one requests another.
   */
  async runner(): Promise<FakeRunner | undefined> {
    if (this.#runner !== undefined && this.#runner.closed === undefined) return this.#runner;
    const identity = await this.session.credentials();
    const runner = await FakeRunner.open(this.session.stub, identity);
    const { instanceId } = runner;
    const { generation } = identity;
    // A runner of the same generation has done its work already.
    const ready = generation === this.#generation;
    runner.send({
      type: "hello",
      protocol: 1,
      instanceId,
      generation,
      clockMs: Date.now(),
      attempts: [],
      ready,
      version: "1",
    });
    runner.send({ type: "stage", stage: "ready" });
    await eventually(() => expect(runner.heard.length + (runner.closed ? 1 : 0)).toBeGreaterThan(0));
    if (runner.closed !== undefined || runner.heard[0]?.type === "refused") return undefined;
    this.#generation = generation;
    this.#runner = runner;
    return runner;
  }

  /** Runs everything that was dispatched. */
  async work(outcome: "ok" | "error"): Promise<void> {
    const runner = await this.runner();
    for (let index = 0; runner !== undefined && index >= 0; ) {
      index = runner.heard.findIndex(({ type }) => type === "prompt");
      const [frame] = index < 0 ? [] : runner.heard.splice(index, 1);
      if (frame?.type !== "prompt") return;
      const { attemptId } = frame.dispatch;
      runner.send({ type: "attempt-accepted", attemptId });
      const error = outcome === "error" ? { errorType: "stuck_turn" } : {};
      runner.send({ type: "turn-ended", attemptId, outcome, ...error, parts: [], summary: NO_WORK });
    }
  }

  async die(how: "crash" | "evict"): Promise<void> {
    if (how === "crash") await this.session.crash();
    else await this.session.evict("close");
    this.#runner?.close();
    await this.session.view();
  }
}

class World {
  readonly parent = new Member(new TestSession());
  readonly children: Member[] = [];
  readonly requests: Frame[] = [];
  /** By request id: the session that it was about; `undefined` when the request was refused. */
  readonly answers = new Map<string, string | undefined>();

  async step(step: Step): Promise<void> {
    switch (step.do) {
      case "spawn":
        // Each prompt is unique, which identifies the child.
        if (this.children.length < 3) await this.#ask(requestOf({ action: "spawn", prompt: crypto.randomUUID() }));
        return;
      case "say": {
        const child = this.#child(step.child);
        const message = crypto.randomUUID();
        if (child !== undefined) await this.#ask(requestOf({ action: "message", session: child.session.id, message }));
        return;
      }
      case "again":
        if (this.requests.length > 0) (await this.parent.runner())?.send(this.requests[0] as Frame);
        return this.hear();
      case "work":
      case "fail":
        return this.#child(step.child)?.work(step.do === "work" ? "ok" : "error");
      case "crash":
      case "evict":
        return (step.who === 0 ? this.parent : this.#child(step.who - 1))?.die(step.do);
      case "break":
        vi.spyOn(SessionAgent.prototype, step.call).mockRejectedValue(new Error("the test breaks it"));
        return;
      case "mend":
        vi.restoreAllMocks();
        return;
      case "elapse":
        return this.elapse();
    }
  }

  #child(index: number): Member | undefined {
    return this.children.length === 0 ? undefined : this.children[index % this.children.length];
  }

  async #ask(frame: Frame): Promise<void> {
    this.requests.push(frame);
    (await this.parent.runner())?.send(frame);
    await this.hear();
  }

  /** Collects the answers that have arrived. */
  async hear(): Promise<void> {
    const runner = await this.parent.runner();
    for (const frame of runner?.heard ?? []) {
      if (frame.type !== "child-session-response") continue;
      const { requestId, answer } = frame;
      const id = answer.ok ? answer.sessions[0]?.id : undefined;
      if (this.answers.has(requestId)) expect(this.answers.get(requestId), "answered as before").toBe(id);
      this.answers.set(requestId, id);
      const isKnown = this.children.some(({ session }) => session.id === id);
      if (id !== undefined && !isKnown) this.children.push(new Member(TestSession.of(id)));
    }
  }

  async elapse(): Promise<void> {
    for (const { session } of [this.parent, ...this.children]) {
      for (const timer of ["child-request", "child-end", "parent-report"]) await session.elapse(timer).catch(() => {});
    }
  }

  /**
   * Repeats requests until they are answered, runs jobs until they are done, and delivers reports until they are
   * acknowledged.
   */
  async settle(): Promise<void> {
    vi.restoreAllMocks();
    await patiently(async () => {
      await this.elapse();
      const runner = await this.parent.runner();
      for (const frame of this.requests) if (!this.answers.has(frame.requestId)) runner?.send(frame);
      await this.hear();
      expect(this.requests.filter(({ requestId }) => !this.answers.has(requestId))).toEqual([]);
    });
    await patiently(async () => {
      await this.elapse();
      for (const member of [...this.children, this.parent]) {
        await member.work("ok");
        const { queueLength, agent } = await member.session.view();
        expect([queueLength, agent]).toEqual([0, "idle"]);
        expect(await member.session.timers()).not.toContain("parent-report");
      }
    });
  }
}

/** Like `eventually`, with a longer timeout: for many steps, also on a busy machine. */
function patiently(check: () => Promise<void>): Promise<void> {
  return vi.waitFor(check, { interval: 20, timeout: 60_000 });
}

test("requests are carried out once, and their results are reported once", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyStep, { minLength: 4, maxLength: STEPS }), async (steps) => {
      const world = new World();
      const { parent, children, requests, answers } = world;
      await parent.session.create();
      await parent.runner();
      await parent.session.reaches("running");
      await world.step({ do: "spawn" });
      for (const step of steps) await world.step(step);
      await world.settle();

      const contents = new Map<string, string[]>();
      for (const { session } of children) {
        const { messages } = valueIn(await session.stub.messages());
        contents.set(session.id, messages.map(({ content }) => content).toSorted());
      }
      const expected = new Map<string, string[]>(children.map(({ session }) => [session.id, []]));
      for (const { requestId, request } of requests) {
        const id = answers.get(requestId);
        const text = request.action === "spawn" ? request.prompt : request.action === "message" ? request.message : "";
        if (id !== undefined) expected.get(id)?.push(text);
      }
      for (const texts of expected.values()) texts.sort();
      expect(contents).toEqual(expected);
      const open = Object.entries(await childrenOf(parent.session)).filter(([, state]) => state === "open");
      expect(open.map(([id]) => id).sort()).toEqual(children.map(({ session }) => session.id).sort());

      const { messages: reported } = valueIn(await parent.session.stub.messages());
      for (const { session } of children) {
        const reports = await session.spans("valet.child_session.report");
        expect(reports.length).toBeGreaterThan(0);
        for (const report of reports)
          expect([report.isOpen, report.attributes["valet.outcome"]]).toEqual([false, "ok"]);
        expect(reported.filter(({ content }) => content.includes(session.id))).toHaveLength(reports.length);
      }
      const spawns = await parent.session.spans("valet.child_session.spawn");
      expect(spawns.filter(({ isOpen }) => isOpen)).toEqual([]);
      expect(spawns.filter(({ attributes }) => attributes["valet.outcome"] === "ok")).toHaveLength(children.length);
    }),
    { numRuns: RUNS, endOnFailure: true },
  );
}, 120_000);
