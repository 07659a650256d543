/** Helpers for tests of the sandbox's lifecycle. */
import { runInDurableObject } from "cloudflare:test";
import { expect } from "vitest";
import { eventually } from "./eventually.ts";
import type { FakeRunner } from "./fake-runner.ts";
import { misnested } from "./nesting.ts";
import { CALLER, type SeenSpan, TestSession, valueIn } from "./session.ts";

export function outcomeOf(span: SeenSpan | undefined): [unknown, unknown] {
  return [
    span?.attributes["valet.outcome"],
    span?.attributes["error.type"] ?? span?.attributes["valet.outcome.reason"],
  ];
}

export function linksOf(span: SeenSpan | undefined, type: string): (string | undefined)[] {
  return (span?.links ?? []).filter((link) => link.type === type).map(({ spanId }) => spanId);
}

/** Hibernates a running session. */
export async function hibernate(session: TestSession, runner: FakeRunner): Promise<void> {
  valueIn(await session.stub.hibernate(CALLER));
  await runner.next("shutdown");
  runner.send({ type: "stopped" });
  await session.reaches("hibernated");
}

export async function asleep(input = {}): Promise<TestSession> {
  const { session, runner } = await TestSession.running(input);
  await hibernate(session, runner);
  return session;
}

/** Boots the runner of the current generation. */
export async function boot(session: TestSession): Promise<FakeRunner> {
  const runner = await (await session.connect()).ready();
  await session.reaches("running");
  return runner;
}

/** The broker's answer about an unknown sandbox. */
export const GONE = { problem: { status: 404, code: "not_found" } } as const;

/** Loses the sandbox with its runner. */
export async function loseSandbox(session: TestSession, runner: FakeRunner): Promise<void> {
  const { generation } = await session.view();
  await session.broker.script({ get: [GONE] });
  runner.close();
  await eventually(async () => {
    const view = await session.view();
    expect(view.status !== "running" || view.generation > generation).toBe(true);
  });
}

/**
 * Expects every operation to have ended with an outcome, except those named, and every parent to exist and to contain its
 * children.
 */
export async function expectSound(session: TestSession, ...open: string[]): Promise<void> {
  const spans = await session.spans();
  const operations = spans.filter(({ name }) =>
    /^valet\.(?:prompt|sandbox\.(?:spawn|restore|hibernate)|session\.terminate)$/.test(name),
  );
  expect(operations.filter(({ isOpen }) => isOpen).map(({ name }) => name)).toEqual(open);
  for (const span of spans.filter(({ isOpen }) => !isOpen)) {
    if (span.name.startsWith("valet.")) expect(span.attributes["valet.outcome"], span.name).toBeDefined();
    const isRoot = span.parentSpanId === undefined || span.parentSpanId === "b".repeat(16);
    expect(isRoot || spans.some(({ spanId }) => spanId === span.parentSpanId), span.name).toBe(true);
  }
  expect(misnested(spans)).toEqual([]);
}

/** Returns the number of ended spans that are in no segment yet. */
export function tailOf(session: TestSession): Promise<number> {
  return runInDurableObject(session.stub, (_object, { storage }) => {
    return storage.sql.exec("SELECT COUNT(*) AS spans FROM trace_tail").one().spans as number;
  });
}
