/** What tests of the capacity object have in common: sessions that are worked on, and what the object knows of them. */
import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { inject } from "vitest";
import { capacityName } from "../src/durable-objects/capacity/capacity-calls.ts";
import type { CapacityEntry } from "../src/durable-objects/capacity/capacity-rules.ts";
import { bindings } from "./bindings.ts";
import type { FakeRunner } from "./fake-runner.ts";
import { CALLER, TestSession, valueIn } from "./session.ts";

/** The capacity object of the scripted broker. */
export function capacityStub() {
  const { CAPACITY } = bindings;
  return CAPACITY.get(CAPACITY.idFromName(capacityName(inject("broker"))));
}

/** What it has stored, but for what is over. */
export function entries(): Promise<CapacityEntry[]> {
  return runInDurableObject(capacityStub(), (_object, { storage }) => {
    const rows = storage.sql.exec("SELECT entry FROM entries").toArray();
    return rows.map(({ entry }) => JSON.parse(entry as string) as CapacityEntry).filter(({ need }) => need !== "none");
  });
}

/** Lets leases expire, as far as the object can tell, and lets it look at them. */
export async function expireLeases(sessionId: string): Promise<void> {
  const stub = capacityStub();
  await runInDurableObject(stub, (_object, { storage }) => {
    const set = "UPDATE entries SET entry = json_set(entry, '$.expiresMs', 0) WHERE session_id = ?";
    storage.sql.exec(set, sessionId);
  });
  // What it has in memory is what it had before.
  await evictDurableObject(stub);
  await runInDurableObject(capacityStub(), (object) => object.alarm());
}

/** The object dies in the middle of what it does. */
export async function crashCapacity(): Promise<void> {
  await runInDurableObject(capacityStub(), (_object, state) => state.abort("the test ends it")).catch(() => {});
}

/** A session whose first message is sent with it. */
export async function begin(prompt?: string): Promise<TestSession> {
  const session = new TestSession();
  await session.create(prompt === undefined ? {} : { prompt });
  return session;
}

/** Ends sessions, so that nothing of them counts any more. */
export async function end(...sessions: TestSession[]): Promise<void> {
  for (const session of sessions) {
    valueIn(await session.stub.terminate(CALLER));
    // Its runner does not stop by itself.
    if ((await session.timers()).includes("stop")) await session.elapse("stop");
  }
  for (const session of sessions) await session.reaches("terminated");
}

/** Stops as it is told to. */
export async function stops(runner: FakeRunner): Promise<void> {
  await runner.next("shutdown");
  runner.send({ type: "stopped" });
}
