import type { FamilyView } from "@valet/shared/protocol/session-api";
import type { TurnRecord } from "@valet/shared/protocol/session-view";
import { expect, test } from "vitest";
import { call, createSession, signIn } from "../../../test/api.ts";
import { bindings } from "../../../test/bindings.ts";
import { eventually } from "../../../test/eventually.ts";
import { TURN } from "../../../test/turn-record.ts";
import { upsertTurn } from "../../database/turns.ts";
import { MAX_DEPTH, MAX_OPEN_CHILDREN } from "../../durable-objects/family/family.ts";

/** Writes a turn with this cost, as a session's object projects it. */
async function spend(
  ownerId: string,
  sessionId: string,
  cost_usd: number | null,
  known: Partial<TurnRecord> = {},
): Promise<void> {
  const record = { ...TURN, attempt_id: crypto.randomUUID(), session_id: sessionId, cost_usd, ...known };
  await upsertTurn(bindings.DB, ownerId, record).run();
}

test("unknown costs are not 0, and an incomplete sum says so", async () => {
  const ownerId = crypto.randomUUID();
  const token = await signIn(ownerId);
  const known = await createSession(token);
  const partial = await createSession(token);
  const unknown = await createSession(token);
  const nothing = { tokens_input: null, tokens_output: null, model_calls: null, calls_without_cost: null };
  await spend(ownerId, known.id, 0.5);
  await spend(ownerId, partial.id, 0.25, { model_calls: 2, calls_without_usage: 1, calls_without_cost: 1 });
  await spend(ownerId, partial.id, null, nothing);
  await spend(ownerId, unknown.id, null, nothing);
  const totalOf = async (id: string) => (await familyOf(token, id)).total;
  expect(await totalOf(known.id)).toEqual({ turns: 1, cost_usd: 0.5, tokens_input: 100, tokens_output: 10 });
  expect(await totalOf(partial.id)).toEqual({
    turns: 2,
    cost_usd: 0.25,
    tokens_input: 100,
    tokens_output: 10,
    turns_without_cost: 2,
    turns_without_usage: 2,
  });
  // A turn without model calls costs nothing, which makes the other turn's cost no better known.
  const free = await createSession(token);
  await spend(ownerId, free.id, 0, { model_calls: 0, tokens_input: 0, tokens_output: 0 });
  expect(await totalOf(free.id)).toEqual({ turns: 1, cost_usd: 0, tokens_input: 0, tokens_output: 0 });
  await spend(ownerId, free.id, null, nothing);
  expect(await totalOf(free.id)).toEqual({
    turns: 2,
    cost_usd: null,
    tokens_input: null,
    tokens_output: null,
    turns_without_cost: 1,
    turns_without_usage: 1,
  });
  expect(await totalOf(unknown.id)).toEqual({
    turns: 1,
    cost_usd: null,
    tokens_input: null,
    tokens_output: null,
    turns_without_cost: 1,
    turns_without_usage: 1,
  });
});

async function familyOf(token: string, id: string): Promise<FamilyView> {
  return (await call("GET", `/api/sessions/${id}/family`, { token })).json();
}

test("a family is listed with its costs, and their sum", async () => {
  const ownerId = crypto.randomUUID();
  const token = await signIn(ownerId);
  const first = await createSession(token, { title: "First" });
  const child = await createSession(token, { parentSessionId: first.id, title: "Child" });
  const grandchild = await createSession(token, { parentSessionId: child.id });
  const other = await createSession(token);
  await spend(ownerId, first.id, 0.5);
  await spend(ownerId, child.id, 0.25);
  await spend(ownerId, child.id, 0.125);
  await spend(ownerId, other.id, 7);

  expect(await familyOf(token, first.id)).toEqual({
    sessions: [
      { ...member(first.id, 0, 1, 0.5), title: "First" },
      { ...member(child.id, 1, 2, 0.375), title: "Child", parentSessionId: first.id },
      { ...member(grandchild.id, 2, 0, 0), parentSessionId: child.id },
    ],
    total: { turns: 3, cost_usd: 0.875, tokens_input: 300, tokens_output: 30 },
  });
  expect((await familyOf(token, child.id)).total.cost_usd).toBe(0.375);
  expect((await familyOf(token, other.id)).sessions).toHaveLength(1);

  const children = await call("GET", `/api/sessions?parentSessionId=${first.id}`, { token });
  expect(((await children.json()) as { sessions: { id: string }[] }).sessions.map(({ id }) => id)).toEqual([child.id]);
});

function member(id: string, depth: number, turns: number, cost_usd: number) {
  const tokens = { tokens_input: 100 * turns, tokens_output: 10 * turns };
  const seen = { status: expect.any(String), agent: "starting", queueLength: 0, createdAt: expect.any(String) };
  return { id, depth, turns, cost_usd, ...tokens, ...seen };
}

test("a family is visible to its owner only", async () => {
  const [token, stranger] = [await signIn(), await signIn()];
  const { id } = await createSession(token);
  expect((await call("GET", `/api/sessions/${id}/family`, { token: stranger })).status).toBe(404);
  const refused = await call("POST", "/api/sessions", { token: stranger, body: { parentSessionId: id } });
  expect(refused.status).toBe(400);
  expect(await refused.json()).toMatchObject({ errors: [{ path: "parentSessionId" }] });
  expect((await familyOf(token, id)).sessions).toHaveLength(1);
});

test("an ended session gets no more children, and its children end with it", async () => {
  const token = await signIn();
  const parent = await createSession(token);
  const child = await createSession(token, { parentSessionId: parent.id });
  await call("POST", `/api/sessions/${parent.id}/terminate`, { token });
  await eventually(async () => {
    const view = await call("GET", `/api/sessions/${child.id}`, { token });
    expect(((await view.json()) as { status: string }).status).toMatch(/^terminat/);
  });
  const refused = await call("POST", "/api/sessions", { token, body: { parentSessionId: parent.id } });
  expect(refused.status).toBe(409);
  expect(await refused.json()).toMatchObject({ type: "urn:valet:problem:child-session-refused" });
});

test("a refused child does not count", async () => {
  const token = await signIn();
  let parentSessionId = (await createSession(token)).id;
  const tooLong = { parentSessionId, prompt: "€".repeat(150_000) };
  for (let i = 0; i <= MAX_OPEN_CHILDREN; i++) {
    const response = await call("POST", "/api/sessions", { token, body: tooLong });
    expect(response.status).toBe(413);
  }
  for (let depth = 1; depth <= MAX_DEPTH; depth++) {
    parentSessionId = (await createSession(token, { parentSessionId })).id;
  }
  const tooDeep = await call("POST", "/api/sessions", { token, body: { parentSessionId } });
  expect(tooDeep.status).toBe(409);
});
