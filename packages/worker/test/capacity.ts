/** Helpers for tests of the capacity object: running sessions, and the object's entries. */
import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { inject } from "vitest";
import { capacityName } from "../src/durable-objects/capacity/capacity-calls.ts";
import type { CapacityEntry } from "../src/durable-objects/capacity/capacity-rules.ts";
import { bindings } from "./bindings.ts";
import type { FakeRunner } from "./fake-runner.ts";
import { CALLER, TestSession, valueIn } from "./session.ts";

/** Returns the capacity object of the scripted broker. */
export function capacityStub() {
  const { CAPACITY } = bindings;
  return CAPACITY.get(CAPACITY.idFromName(capacityName(inject("broker"))));
}

/** Returns its stored entries, except for ended ones. */
export function entries(): Promise<CapacityEntry[]> {
  return runInDurableObject(capacityStub(), (_object, { storage }) => {
    const rows = storage.sql.exec("SELECT entry FROM entries").toArray();
    return rows.map(({ entry }) => JSON.parse(entry as string) as CapacityEntry).filter(({ need }) => need !== "none");
  });
}

/** Makes a session's leases expire, and runs the object's check. */
export async function expireLeases(sessionId: string): Promise<void> {
  const stub = capacityStub();
  await runInDurableObject(stub, (_object, { storage }) => {
    const set = "UPDATE entries SET entry = json_set(entry, '$.expiresMs', 0) WHERE session_id = ?";
    storage.sql.exec(set, sessionId);
  });
  // Its memory still holds the entries from before the change.
  await evictDurableObject(stub);
  await runInDurableObject(capacityStub(), (object) => object.alarm());
}

/** Makes the object crash. */
export async function crashCapacity(): Promise<void> {
  await runInDurableObject(capacityStub(), (_object, state) => state.abort("the test ends it")).catch(() => {});
}

/** Creates a session, with a first message if given. */
export async function begin(prompt?: string): Promise<TestSession> {
  const session = new TestSession();
  await session.create(prompt === undefined ? {} : { prompt });
  return session;
}

/** Terminates sessions, so that they no longer count. */
export async function end(...sessions: TestSession[]): Promise<void> {
  for (const session of sessions) {
    valueIn(await session.stub.terminate(CALLER));
    // The fake runner does not stop by itself.
    if ((await session.timers()).includes("stop")) await session.elapse("stop");
  }
  for (const session of sessions) await session.reaches("terminated");
}

/** Waits for the runner's shutdown, and stops it. */
export async function stops(runner: FakeRunner): Promise<void> {
  await runner.next("shutdown");
  runner.send({ type: "stopped" });
}
