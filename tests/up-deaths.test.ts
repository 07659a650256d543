/** Exactly one Worker serves a state directory, whatever died before: `up`, its workerd, or the sandboxes' guardian. */

import { once } from "node:events";
import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { guardiansOf, until, workersOf, wrappersOf } from "./host-processes.ts";
import { killNow, list } from "./processes.ts";
import {
  answers,
  endWithSandbox,
  kill,
  SANDBOX_ORDERS,
  SHORT_ORDERS,
  steadyPort,
  surviveDeaths,
} from "./soak/deaths.ts";
import { startUp, temporaryState, valet } from "./up-process.ts";
import { endUp, hasEnded, startUp as startForAll, type UpProcess } from "./valet-up.ts";

describe("one Worker serves a state", () => {
  test("after several orders of deaths: at the same port, with the stored data, and no temporary file is left", async () => {
    const [state, temporary] = [temporaryState(), temporaryState()];
    const start = (args: readonly string[]) => startUp(state, { args, env: { ...process.env, TMPDIR: temporary } });
    let up = await start(["--port", String(await steadyPort())]);
    for (const order of SHORT_ORDERS) up = await surviveDeaths(up, state, order, start);
    expect(await endUp(up, "SIGINT")).toBe(0);
    await until("the end of all", () => workersOf(state).length + guardiansOf(state).length === 0);
    expect([...list(temporary), ...list(join(state, "miniflare"))]).toEqual([]);
  }, 300_000);

  test("after concurrent starts: one succeeds, the other reports it", async () => {
    const state = temporaryState();
    const starts = await Promise.allSettled([startUp(state), startUp(state)]);
    const [up, ...more] = starts.flatMap((start) => (start.status === "fulfilled" ? [start.value] : []));
    expect(more).toEqual([]);
    for (const start of starts) {
      if (start.status === "rejected") expect(start.reason.message).toMatch(/ended with 2: .*already runs on/s);
    }
    expect(workersOf(state)).toHaveLength(1);
    expect(await answers(up as UpProcess)).toBe(true);
  }, 60_000);
});

describe("a sandbox's processes, and the Worker,", () => {
  const { guardian, runner } = SANDBOX_ORDERS;
  test.each([[guardian], [runner]])(
    "end after the deaths of %j, one right after the other: runner, agent, and a command's background process",
    async (order) => {
      const state = temporaryState();
      const ms = await endWithSandbox(await startUp(state), state, order);
      process.stdout.write(`a sandbox's processes ended ${ms} ms after ${order.join(", then ")}\n`);
    },
    120_000,
  );
});

test("the Worker's end ends `up` with a reason, when it cannot be restarted", async () => {
  const state = temporaryState();
  const up = await startUp(state);
  const blocker = createServer();
  const port = Number(new URL(up.url).port);
  const [pid] = workersOf(state);
  // A program takes the port before `up`, which stands still, can restart workerd there.
  process.kill(up.pid, "SIGSTOP");
  try {
    process.kill(pid as number, "SIGKILL");
    // The port is free a moment after the process has ended.
    await until("the port", async () => {
      blocker.removeAllListeners().listen(port, "127.0.0.1");
      await new Promise((tried) => blocker.once("listening", tried).once("error", tried));
      return blocker.listening;
    });
  } finally {
    process.kill(up.pid, "SIGCONT");
  }
  // The program that has the port accepts connections and answers nothing.
  await until("the end", () => hasEnded(up.child), 100_000);
  blocker.close();
  expect(up.child.exitCode).toBe(1);
  // It was said before the end, and may be read after it.
  await expect.poll(up.log).toContain("the Worker crashed and cannot be started again");
}, 180_000);

describe("the death of a Worker", () => {
  let up: UpProcess;
  let state: string;

  // Each test leaves it serving.
  beforeAll(async () => {
    state = realpathSync(mkdtempSync(join(tmpdir(), "valet-up-")));
    up = await startForAll(state);
  }, 60_000);
  afterAll(async () => {
    await endUp(up);
    rmSync(state, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }, 60_000);

  /** Returns what `up` logs from now on. */
  function logFromNow(): () => string {
    const before = up.log().length;
    return () => up.log().slice(before);
  }

  test("is logged after a crash, and the Worker serves again", async () => {
    const logged = logFromNow();
    await kill("workerd", up, state);
    await until("the line", () => logged().includes("The Worker runs again."));
    expect(logged()).toContain("The Worker (workerd) crashed and is being restarted.");
    expect(await answers(up)).toBe(true);
  }, 60_000);

  test("may happen repeatedly, also during its start: finally it serves", async () => {
    const childrenNamed = () => workersOf(state).concat(wrappersOf(up.pid));
    for (let deaths = 0; deaths < 5; deaths++) {
      await until("a Worker", () => hasEnded(up.child) || childrenNamed().length > 0);
      // A wrapper ends with its workerd, perhaps before its turn.
      childrenNamed().forEach(killNow);
    }
    await until("an answer", () => hasEnded(up.child) || answers(up), 60_000);
    expect(hasEnded(up.child), up.log()).toBe(false);
    expect(workersOf(state)).toHaveLength(1);
  }, 120_000);

  test("is not caused by the terminal, whose signals reach `up` and its Worker: only `up` acts on them", async () => {
    const logged = logFromNow();
    const [pid] = workersOf(state);
    process.kill(pid as number, "SIGINT");
    process.kill(pid as number, "SIGHUP");
    expect(await answers(up)).toBe(true);
    expect(workersOf(state)).toEqual([pid]);
    expect(logged()).not.toContain("crashed");
  }, 60_000);
});

test("a port in use by another program is reported", async () => {
  const state = temporaryState();
  const other = createServer().listen(0, "127.0.0.1");
  await until("the port", () => other.listening);
  const { port } = other.address() as { port: number };
  const child = valet(["--state", state, "up", "--port", String(port)]);
  let printed = "";
  child.stderr?.on("data", (chunk) => (printed += chunk));
  await once(child, "close");
  other.close();
  expect(child.exitCode).toBe(2);
  expect(printed).toContain(`Port ${port} is in use.`);
}, 60_000);
