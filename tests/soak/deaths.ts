/** The orders in which `valet up`, its workerd and the sandboxes' guardian may die, and what must hold afterwards. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { guardiansOf, processesAbout, until, workersOf } from "../host-processes.ts";
import { commandOf, killNow } from "../processes.ts";
import { endUp, hasEnded, type UpProcess } from "../valet-up.ts";

export type Part = "up" | "workerd" | "guardian";

/** Those that the ordinary tests run: each part dies first, next and last, and `up` before and after the others. */
export const SHORT_ORDERS: readonly (readonly Part[])[] = [
  ["up"],
  ["workerd", "guardian"],
  ["guardian", "up", "workerd"],
  ["workerd", "up", "guardian"],
];

/** The others, which only the soak test runs. */
const MORE_ORDERS: readonly (readonly Part[])[] = [
  ["workerd"],
  ["guardian"],
  ["workerd", "up"],
  ["up", "workerd"],
  ["workerd", "workerd", "up"],
  ["guardian", "up"],
  ["up", "guardian"],
  ["workerd", "guardian", "up"],
  ["guardian", "workerd", "up"],
  ["up", "workerd", "guardian"],
  ["up", "guardian", "workerd"],
];

export const ALL_ORDERS: readonly (readonly Part[])[] = [...SHORT_ORDERS, ...MORE_ORDERS];

/** What ends a sandbox's processes: the guardian, only the runner itself, or both at once. */
export const SANDBOX_ORDERS = {
  guardian: ["up"],
  runner: ["guardian", "up"],
  both: ["up", "guardian"],
} as const satisfies Record<string, readonly Part[]>;

/**
 * Returns a free port below those that the kernel gives to connections and to servers without one of their own (ip(7)): nobody takes
 * it while a system that is to start there again is down.
 */
export async function steadyPort(): Promise<number> {
  for (;;) {
    const port = 15_000 + Math.floor(Math.random() * 15_000);
    const server = createServer();
    const isFree = once(server, "listening").then(
      () => true,
      () => false,
    );
    server.listen(port, "127.0.0.1");
    if (!(await isFree)) continue;
    server.close();
    await once(server, "close");
    return port;
  }
}

/** Starts `valet up` on the state. */
export type Start = (args: readonly string[]) => Promise<UpProcess>;

/** Whether the API answers. */
export async function answers({ url, token }: UpProcess): Promise<boolean> {
  const headers = { authorization: `Bearer ${token}` };
  return fetch(`${url}/api/sessions`, { headers }).then(
    ({ status }) => status === 200,
    () => false,
  );
}

/** Kills a part, and waits for its end; if `up` lives, also for the Worker that replaces a killed one. */
export async function kill(part: Part, up: UpProcess, state: string): Promise<void> {
  if (part === "up") {
    await endUp(up, "SIGKILL");
    return;
  }
  const living = () => (part === "workerd" ? workersOf(state) : guardiansOf(state));
  const pids = living();
  pids.forEach(killNow);
  await until(`the ${part}'s death`, () => !living().some((pid) => pids.includes(pid)));
  if (part === "workerd" && !hasEnded(up.child)) await until("another workerd", () => answers(up));
}

/**
 * Kills parts of a system in an order, and starts it again: exactly one Worker and one guardian serve the state, at the same port and
 * with the stored data.
 * @returns the system that runs then
 * @throws Error if something else is the case
 */
export async function surviveDeaths(
  up: UpProcess,
  state: string,
  order: readonly Part[],
  start: Start,
): Promise<UpProcess> {
  const after = `after the death of ${order.join(", then ")}`;
  for (const part of order) await kill(part, up, state);
  if (!hasEnded(up.child)) {
    await until(`an answer ${after}`, () => answers(up));
    await until(`one guardian ${after}`, () => guardiansOf(state).length === 1);
    assert.equal(workersOf(state).length, 1, `workers ${after}`);
    await endUp(up, "SIGKILL");
  }
  const next = await start(["--port", new URL(up.url).port]);
  assert.deepEqual({ url: next.url, token: next.token }, { url: up.url, token: up.token }, after);
  assert.equal(await answers(next), true, `an answer ${after}`);
  assert.equal(workersOf(state).length, 1, `workers ${after}`);
  assert.equal(guardiansOf(state).length, 1, `guardians ${after}`);
  return next;
}

/**
 * Kills parts right one after the other while a command of a session runs: the sandbox's processes end, and the Worker.
 * @returns how long that took, in ms
 */
export async function endWithSandbox(up: UpProcess, state: string, order: readonly Part[]): Promise<number> {
  const { id } = await up.api.createSession({});
  const mark = `VALET_SESSION_ID=${id}`;
  const run = "setsid sleep 86399 & sleep 86399";
  await up.api.startWorkflow(id, { name: "leaves", steps: [{ name: "leave", run }] });
  const sleeping = () => processesAbout(mark).filter((pid) => commandOf(pid).includes("86399")).length >= 2;
  await until("the command", sleeping, 60_000);
  const guardians = guardiansOf(state);
  assert.equal(guardians.length, 1);
  for (const part of order) for (const pid of part === "up" ? [up.pid] : guardians) killNow(pid);
  const killedMs = performance.now();
  const left = () => processesAbout(mark).length + workersOf(state).length;
  await until(`the end of all after the death of ${order.join(", then ")}`, () => left() === 0, 30_000);
  return Math.round(performance.now() - killedMs);
}
