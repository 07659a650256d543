/** The upkeep, as the platform starts it: rollups are filled, and the retention periods of terminated sessions are checked. */
import { createScheduledController } from "cloudflare:test";
import { TurnStats } from "@valet/shared/protocol/turn-stats";
import { beforeAll, beforeEach, expect, test, vi } from "vitest";
import { call, createSession, signIn } from "../../test/api.ts";
import { bindings } from "../../test/bindings.ts";
import { TURN } from "../../test/turn-record.ts";
import type { Env } from "../bindings.ts";
import { upsertTurn } from "../database/turns.ts";
import { SessionAgent } from "../durable-objects/session-agent.ts";
import worker from "../index.ts";
import { runUpkeep } from "./upkeep.ts";

const { DB } = bindings;
const OWNER = "own_upkeep";
const DAY_MS = 86_400_000;
let token: string;

beforeAll(async () => {
  token = await signIn(OWNER);
});
beforeEach(() => vi.restoreAllMocks());

/** Inserts the row of a terminated session, which has no object. */
async function addEnded(n: number, more: { status?: string; view?: object; daysAgo?: number } = {}): Promise<string> {
  const { status = "terminated", view = {}, daysAgo = 31 } = more;
  const id = `ses_${String(n).padStart(26, "0")}`;
  const at = new Date(Date.now() - daysAgo * DAY_MS + n).toISOString();
  await DB.prepare(
    "INSERT INTO sessions (id, owner_id, status, created_at, updated_at, version, view) VALUES (?, ?, ?, ?, ?, 1, ?)",
  )
    .bind(id, OWNER, status, at, at, JSON.stringify({ id, status, createdAt: at, updatedAt: at, ...view }))
    .run();
  return id;
}

/** Spies on the sessions that are asked. */
function asked() {
  const spy = vi.spyOn(SessionAgent.prototype, "checkRetention");
  return () => spy.mock.calls.length;
}

test("the platform's timer starts it", async () => {
  const count = asked();
  await addEnded(1);
  await worker.scheduled(createScheduledController(), bindings as unknown as Env);
  expect(count()).toBe(1);
});

test("sessions that ended a retention period ago are asked, in bounded pages, each once before any is asked again", async () => {
  await DB.prepare("DELETE FROM sessions").run();
  await DB.batch([DB.prepare("UPDATE retention_sweep SET updated_at = '', id = ''")]);
  for (let n = 0; n < 130; n++) await addEnded(n);
  await addEnded(200, { daysAgo: 29 });
  await addEnded(201, { status: "hibernated" });
  await addEnded(202, { view: { deletion: { reason: "requested", since: "2026-01-01T00:00:00.000Z" } } });
  const count = asked();
  await runUpkeep(bindings as unknown as Env);
  expect(count()).toBe(100);
  await runUpkeep(bindings as unknown as Env);
  expect(count()).toBe(130);
  // A shorter period reaches the one that ended 29 days ago.
  await runUpkeep({ ...bindings, VALET_RETENTION_DAYS: "28" } as unknown as Env);
  await runUpkeep({ ...bindings, VALET_RETENTION_DAYS: "28" } as unknown as Env);
  expect(count()).toBe(130 + 131);
  await DB.prepare("DELETE FROM sessions").run();
});

test("a session that cannot answer keeps none of the others from being asked, and D1's absence is only logged", async () => {
  const log = vi.spyOn(console, "error").mockImplementation(() => {});
  for (let n = 300; n < 303; n++) await addEnded(n);
  const spy = vi.spyOn(SessionAgent.prototype, "checkRetention").mockRejectedValueOnce(new Error("overloaded"));
  await runUpkeep(bindings as unknown as Env);
  expect(spy).toHaveBeenCalledTimes(3);
  expect(log).toHaveBeenCalledTimes(1);
  await runUpkeep({ ...bindings, DB: undefined } as unknown as Env);
  expect(log).toHaveBeenCalledTimes(3);
});

test("while any variable is invalid no session is asked, and the log says so once, with what is allowed", async () => {
  const log = vi.spyOn(console, "error").mockImplementation(() => {});
  const count = asked();
  await addEnded(400);
  for (let run = 0; run < 2; run++) await runUpkeep({ ...bindings, VALET_MAX_STARTING: "few" } as unknown as Env);
  expect(count()).toBe(0);
  expect(log.mock.calls.map(([line]) => JSON.parse(String(line)).setting)).toEqual([
    "VALET_MAX_STARTING: must be a whole number above 0",
  ]);
  await DB.prepare("DELETE FROM sessions").run();
  log.mockRestore();
});

test("while turns are being added to the rollups, statistics say that they are incomplete", async () => {
  await createSession(token);
  await upsertTurn(DB, OWNER, { ...TURN, attempt_id: "att_before", ended_at: new Date().toISOString() }).run();
  const stats = async () => TurnStats.parse(await (await call("GET", "/api/turns/stats", { token })).json());
  expect(await stats()).not.toHaveProperty("incomplete");
  await DB.batch([DB.prepare("DELETE FROM turn_rollups"), DB.prepare("INSERT INTO rollup_fill VALUES (1, '')")]);
  expect(await stats()).toMatchObject({ incomplete: true, total: { turns: 0 } });
  await runUpkeep(bindings as unknown as Env);
  const after = await stats();
  expect(after.total.turns).toBe(1);
  expect(after).not.toHaveProperty("incomplete");
});
