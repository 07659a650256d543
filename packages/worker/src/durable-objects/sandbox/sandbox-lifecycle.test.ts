/**
 * The sandbox's life where the object dies in the middle of it, on the real object with a scripted broker (test/broker.node.ts): every operation with its span and its
 * outcome, also where the broker fails or answers late. No process is started here; what the broker's drivers do is shown in
 * their own tests.
 */
import { describe, expect, test, vi } from "vitest";
import { eventually } from "../../../test/eventually.ts";
import { boot, expectSound, outcomeOf } from "../../../test/sandbox.ts";
import { CALLER, TestSession, valueIn } from "../../../test/session.ts";

describe("the object dies", () => {
  test("while the broker creates a sandbox: the object asks again in the same spawn, for a new generation", async () => {
    const session = new TestSession();
    await session.broker.script({ create: [{ hold: true }] });
    await session.create();
    await eventually(async () => expect(await session.broker.held()).toBe(1));
    await session.crash();
    await eventually(async () => expect((await session.view()).generation).toBe(2));
    await boot(session);
    await session.broker.letGo();
    expect(await session.view()).toMatchObject({ status: "running", generation: 2 });
    const [first, second] = await session.spans("valet.sandbox.create");
    const spawn = await session.onlySpan("valet.sandbox.spawn");
    expect([outcomeOf(first), outcomeOf(second)]).toEqual([
      ["error", "broker_timeout"],
      ["ok", undefined],
    ]);
    expect([first?.parentSpanId, second?.parentSpanId]).toEqual([spawn.spanId, spawn.spanId]);
    expect(outcomeOf(spawn)).toEqual(["ok", undefined]);
    expect(spawn.attributes["valet.generation"]).toBe(2);
    await expectSound(session);
  });

  test.each(["snapshot", "terminate"] as const)(
    "during a hibernate, at the %s, and continues from there",
    async (call) => {
      const { session, runner } = await TestSession.running();
      await session.broker.script({ [call]: [{ hold: true }] });
      valueIn(await session.stub.hibernate(CALLER));
      if (call === "terminate") {
        await runner.next("shutdown");
        runner.send({ type: "stopped" });
      }
      await eventually(async () => expect(await session.broker.held()).toBe(1));
      await session.crash();
      await session.reaches("hibernated");
      await session.broker.letGo();
      const operation = await session.onlySpan("valet.sandbox.hibernate");
      expect(outcomeOf(operation)).toEqual(["ok", undefined]);
      expect(await session.broker.calls(call)).toHaveLength(2);
      await expectSound(session);
    },
  );

  test("before any step: a session that is evicted before every step still works", async () => {
    const session = new TestSession();
    await session.create({ prompt: "hello" });
    const step = async () => {
      await session.view();
      await session.evict();
    };
    const runner = await session.connect();
    await step();
    await runner.hello();
    await step();
    runner.send({ type: "stage", stage: "ready" });
    const { attemptId } = await runner.accept();
    await step();
    await runner.end(attemptId);
    await step();
    valueIn(await session.stub.hibernate(CALLER));
    await runner.next("shutdown");
    await step();
    runner.send({ type: "stopped" });
    await session.reaches("hibernated");
    await step();
    valueIn(await session.stub.wake(CALLER));
    const back = await session.connect();
    await session.view();
    await step();
    await back.ready();
    await session.reaches("running");
    await step();
    valueIn(await session.stub.terminate(CALLER));
    await back.next("shutdown");
    await step();
    back.send({ type: "stopped" });
    await session.reaches("terminated");
    const operations = (await session.spans()).filter(({ parentSpanId }) => parentSpanId === undefined);
    expect(operations.map(({ name, attributes }) => [name, attributes["valet.outcome"]])).toEqual([
      ["valet.sandbox.spawn", "ok"],
      ["valet.sandbox.hibernate", "ok"],
      ["valet.sandbox.restore", "ok"],
      ["valet.session.terminate", "ok"],
    ]);
    expect(outcomeOf(await session.onlySpan("valet.prompt"))).toEqual(["ok", undefined]);
    await expectSound(session);
  });
});

test("an alarm that is a day late runs everything that was due", async () => {
  const { session } = await TestSession.running();
  vi.useFakeTimers({ now: Date.now() + 24 * 60 * 60_000, toFake: ["Date"] });
  try {
    await session.elapse("link");
    expect(await session.view()).toMatchObject({ agent: "disconnected", status: "hibernating" });
  } finally {
    vi.useRealTimers();
  }
});
