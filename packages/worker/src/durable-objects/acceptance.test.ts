/**
 * A message is accepted as soon as it is stored. The answer waits for nothing else: the broker, D1, the capacity object and the
 * backend take calls here and never answer, and the runner's socket takes what it is sent.
 */
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, test, vi } from "vitest";
import { StandInBroker, type StandInSandbox } from "../../test/course/broker.ts";
import { Host } from "../../test/course/host.ts";
import { StandInRunner } from "../../test/course/runner.ts";
import { CALLER, valueIn } from "../../test/session.ts";

const { STORAGE } = env as unknown as { STORAGE: DurableObjectNamespace };
const SESSION = "ses_course";

interface Setting {
  readonly host: Host;
  readonly sandboxes: readonly StandInSandbox[];
  /** Starts the session's sandbox, and its runner. */
  boot(): Promise<StandInRunner>;
}

async function withSession(work: (setting: Setting) => Promise<void>): Promise<void> {
  await runInDurableObject(STORAGE.get(STORAGE.newUniqueId()), async (_object, real) => {
    vi.useFakeTimers({ toFake: ["Date", "setTimeout", "clearTimeout"] });
    const sandboxes: StandInSandbox[] = [];
    const broker = new StandInBroker(
      (sandbox) => sandboxes.push(sandbox),
      () => {},
    );
    const host = new Host(real, broker, { OTEL_EXPORTER_OTLP_ENDPOINT: "https://otlp.test" });
    const platform = { fetch, Response, WebSocketPair };
    Object.assign(globalThis, host.globals);
    const witness = { begins: () => {}, ends: () => {}, delivers: () => {} };
    const boot = async () => {
      await host.settle();
      host.broker.answer(0, "ok");
      await host.settle();
      const runner = new StandInRunner(host, sandboxes.at(-1) as StandInSandbox, SESSION, witness);
      await runner.connect();
      runner.stage("ready");
      await host.settle();
      return runner;
    };
    try {
      valueIn(await host.agent.create({ id: SESSION }, CALLER));
      await work({ host, sandboxes, boot });
    } finally {
      Object.assign(globalThis, platform);
      vi.useRealTimers();
    }
  });
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
  withSession(async ({ host }) => {
    host.database.hangs = true;
    await host.settle();
    expect(await expectAcceptance(host)).toBe("queued");
    expect(host.broker.awaited).toBe(1);
  }));

test("while D1 hangs and the runner, which is sent the message, says nothing", () =>
  withSession(async ({ host, boot }) => {
    const runner = await boot();
    host.database.hangs = true;
    expect(await expectAcceptance(host)).toBe("queued");
    runner.take();
    expect(runner.working.size).toBe(1);
    expect(await expectAcceptance(host)).toBe("queued");
  }));

test("of a hibernated session, which wakes", () =>
  withSession(async ({ host, boot }) => {
    const runner = await boot();
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
