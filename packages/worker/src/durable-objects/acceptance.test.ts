/**
 * A message is accepted as soon as it is stored. The answer waits for nothing else: the broker, D1, the capacity object and the
 * backend take calls here and never answer, and the runner's socket takes what it is sent.
 */
import { expect, test } from "vitest";
import type { Host } from "../../test/course/host.ts";
import { StandInRunner } from "../../test/course/runner.ts";
import { type HostedSession, SESSION_ID, withHost } from "../../test/course/with-host.ts";
import { CALLER, valueIn } from "../../test/session.ts";

const VARIABLES = { OTEL_EXPORTER_OTLP_ENDPOINT: "https://otlp.test" };

/** Starts the session's sandbox, and its runner. */
async function boot({ host, boot: makeSandbox }: HostedSession): Promise<StandInRunner> {
  const witness = { begins: () => {}, ends: () => {}, delivers: () => {}, loses: () => {} };
  const runner = new StandInRunner(host, await makeSandbox(), SESSION_ID, witness);
  await runner.connect();
  runner.stage("ready");
  await host.settle();
  return runner;
}

/** Sends a message, and expects the answer before anything can have happened outside of the object. */
async function expectAcceptance({ agent }: Host): Promise<string> {
  let status: string | undefined;
  void agent.sendMessage({ content: "work" }, CALLER).then((result) => {
    status = valueIn(result).status;
  });
  for (let microtask = 0; microtask < 3; microtask++) await undefined;
  expect(status).toBeDefined();
  return status as string;
}

test("while the sandbox starts", () =>
  withHost(VARIABLES, async ({ host }) => {
    host.database.hangs = true;
    await host.settle();
    expect(await expectAcceptance(host)).toBe("queued");
    expect(host.broker.awaited).toBe(1);
  }));

test("while D1 hangs and the runner, which is sent the message, says nothing", () =>
  withHost(VARIABLES, async (session) => {
    const { host } = session;
    const runner = await boot(session);
    host.database.hangs = true;
    expect(await expectAcceptance(host)).toBe("queued");
    runner.take();
    expect(runner.working.size).toBe(1);
    expect(await expectAcceptance(host)).toBe("queued");
  }));

test("of a hibernated session, which wakes", () =>
  withHost(VARIABLES, async (session) => {
    const { host } = session;
    const runner = await boot(session);
    valueIn(await host.agent.hibernate(CALLER));
    runner.take();
    await host.settle();
    host.broker.answer(0, "ok");
    await host.settle();
    for (let round = 0; round < 20 && host.parts.state.record.state !== "hibernated"; round++) {
      await host.pass(1000);
      host.broker.answer(0, "ok");
      await host.settle();
    }
    expect(host.parts.state.record.state).toBe("hibernated");
    host.database.hangs = true;
    expect(await expectAcceptance(host)).toBe("queued");
    expect(host.parts.state.record.state).toBe("restoring");
  }));
