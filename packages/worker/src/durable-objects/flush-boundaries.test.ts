/**
 * What was recorded has been handed to export before the object may go idle: every ended span is in a segment, which the
 * export's cursor reaches, and none waits for the tail's own timer.
 */
import { expect, test } from "vitest";
import { asleep, hibernate, outcomeOf, tailOf } from "../../test/sandbox.ts";
import { CALLER, TestSession, valueIn } from "../../test/session.ts";

async function ended(session: TestSession, operation: string): Promise<[unknown, unknown][]> {
  return (await session.spans(operation)).map(outcomeOf);
}

test("hibernate", async () => {
  const { session, runner } = await TestSession.running();
  await hibernate(session, runner);
  expect(await ended(session, "valet.sandbox.hibernate")).toEqual([["ok", undefined]]);
  expect(await tailOf(session)).toBe(0);
});

test("a wake that finds the session awake records nothing", async () => {
  const { session, runner } = await TestSession.running();
  await hibernate(session, runner);
  valueIn(await session.stub.wake(CALLER));
  valueIn(await session.stub.wake(CALLER));
  expect(await ended(session, "valet.sandbox.restore")).toEqual([[undefined, undefined]]);
  expect(await tailOf(session)).toBe(0);
});

test("terminate", async () => {
  const session = await asleep();
  valueIn(await session.stub.terminate(CALLER));
  await session.reaches("terminated");
  expect(await ended(session, "valet.session.terminate")).toEqual([["ok", undefined]]);
  expect(await tailOf(session)).toBe(0);
});

test("an error without recovery", async () => {
  const session = new TestSession();
  await session.broker.script({ create: [{ problem: { status: 500, code: "start_failed" } }] });
  await session.create({ prompt: "work" });
  await session.reaches("error");
  expect(await ended(session, "valet.prompt")).toEqual([["error", "spawn_failed"]]);
  expect(await tailOf(session)).toBe(0);
});
