import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { isHung } from "./health-check.ts";

const LIMITS = { tryMs: 10, hungMs: 60 };
const never = new Promise<never>(() => {});
const health = (answer: (call: number) => Promise<{ version: string | undefined }>) => {
  const client = { calls: 0, health: () => answer(++client.calls) };
  return client;
};
const ok = { version: "1" };
const silent = async (): Promise<never> => {
  await sleep(LIMITS.tryMs);
  throw new Error("no answer");
};

test("one answer is enough, even a late one", async () => {
  const client = health(async () => ok);
  expect(await isHung({ client, exited: never, ...LIMITS })).toBe(false);
  expect(client.calls).toBe(1);
  const late = health(async (call) => (call < 2 ? silent() : ok));
  expect(await isHung({ client: late, exited: never, tryMs: 10, hungMs: 60_000 })).toBe(false);
});

test("OpenCode hangs if it does not answer several checks", async () => {
  const client = health(silent);
  expect(await isHung({ client, exited: never, ...LIMITS, hungMs: 150 })).toBe(true);
  expect(client.calls).toBeGreaterThan(1);
});

test("a process that exits does not hang", async () => {
  const exited = Promise.withResolvers<void>();
  const checked = isHung({ client: health(() => never), exited: exited.promise, ...LIMITS });
  exited.resolve();
  expect(await checked).toBe(false);
});
