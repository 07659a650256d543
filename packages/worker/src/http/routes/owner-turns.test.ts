/** Turns across sessions over the API: filters, orders, cursors, statistics. */
import type { TurnRecord } from "@valet/shared/protocol/session-view";
import { OwnerTurns, TurnStats } from "@valet/shared/protocol/turn-stats";
import { describe, expect, test } from "vitest";
import { call, signIn } from "../../../test/api.ts";
import { bindings } from "../../../test/bindings.ts";
import { TURN } from "../../../test/turn-record.ts";
import { upsertTurn } from "../../database/turns.ts";
import { encodeCursor } from "../../durable-objects/core/cursor.ts";

const { DB } = bindings;
const sessionId = (letter: string) => `ses_${letter.repeat(26)}`;
/** Ends of turns, an hour apart, the last one half an hour ago. */
const endOf = (index: number, of: number) =>
  new Date(Date.now() - 1_800_000 - (of - 1 - index) * 3_600_000).toISOString();

interface Owner {
  readonly token: string;
  readonly ids: string[];
}

/** Returns the token of a new owner with these turns, oldest first. */
async function ownerOf(...turns: Partial<TurnRecord>[]): Promise<Owner> {
  const owner = crypto.randomUUID();
  const token = await signIn(owner);
  const records = turns.map((more, index) => ({
    ...TURN,
    attempt_id: `att_${owner}_${String(index).padStart(4, "0")}`,
    session_id: sessionId("a"),
    ended_at: endOf(index, turns.length),
    ...more,
  }));
  for (let at = 0; at < records.length; at += 100) {
    await DB.batch(records.slice(at, at + 100).map((record) => upsertTurn(DB, owner, record)));
  }
  return { token, ids: records.map(({ attempt_id }) => attempt_id) };
}

async function list({ token }: Owner, query = ""): Promise<OwnerTurns> {
  const response = await call("GET", `/api/turns${query}`, { token });
  expect(response.status, await response.clone().text()).toBe(200);
  return OwnerTurns.parse(await response.json());
}

/** Returns the numbers of the turns that a query lists, over all of its pages. */
async function listed(owner: Owner, query: string): Promise<number[]> {
  const found: number[] = [];
  for (let cursor: string | undefined = ""; cursor !== undefined; ) {
    const page: OwnerTurns = await list(owner, `?${query}${cursor && `&cursor=${cursor}`}`);
    found.push(...page.turns.map(({ attempt_id }) => owner.ids.indexOf(attempt_id)));
    cursor = page.nextCursor;
  }
  return found;
}

async function stats({ token }: Owner, query = ""): Promise<TurnStats> {
  const response = await call("GET", `/api/turns/stats${query}`, { token });
  expect(response.status, await response.clone().text()).toBe(200);
  return TurnStats.parse(await response.json());
}

const VARIED: Partial<TurnRecord>[] = [
  { user_id: "ann", repository: "https://git.test/app", branch: "main", turn_ms: 5, cost_usd: 0.5, queue_wait_ms: 9 },
  { user_id: "bob", repository: "https://git.test/app", branch: "dev", turn_ms: 50, cost_usd: null, queue_wait_ms: 8 },
  { user_id: "ann", channel: "ops", turn_ms: 20, cost_usd: 2, time_to_first_token_ms: 7 },
  { user_id: "ann", outcome: "error", error_type: "stuck_turn", model: "valet/other", turn_ms: 20 },
  { user_id: "cy", outcome: "aborted", outcome_reason: "user_abort", session_id: sessionId("b"), turn_ms: 1 },
  { user_id: null, parent_session_id: sessionId("p"), tokens_input: 1, tokens_output: 1, turn_ms: 30 },
];

/** Two turns that failed with every model, of which one says why its last one did. */
const EXHAUSTED: Partial<TurnRecord>[] = [
  {},
  { outcome: "error", error_type: "model_chain_exhausted", error_cause: "provider_rate_limited", tools: ["bash"] },
  { outcome: "error", error_type: "model_chain_exhausted", tools: ["bash"] },
];

describe("a list", () => {
  test.each([
    ["", [5, 4, 3, 2, 1, 0]],
    ["user=ann", [3, 2, 0]],
    ["repository=https://git.test/app", [1, 0]],
    ["repository=https://git.test/app.git", [1, 0]],
    ["branch=dev", [1]],
    ["model=valet/other", [3]],
    ["outcome=ok", [5, 2, 1, 0]],
    ["outcome=aborted", [4]],
    ["error=stuck_turn", [3]],
    ["channel=ops", [2]],
    [`sessionId=${sessionId("b")}`, [4]],
    [`parentSessionId=${sessionId("p")}`, [5]],
    ["user=ann&repository=https://git.test/app&branch=main&outcome=ok", [0]],
    ["user=ann&error=stuck_turn&channel=ops", []],
    ["user=eve", []],
    ["sort=duration", [1, 5, 3, 2, 0, 4]],
    ["sort=cost", [2, 0, 5, 4, 3]],
    ["sort=wait", [0, 1, 5, 4, 3, 2]],
    ["sort=first_token", [2]],
    ["sort=tokens&user=ann", [3, 2, 0]],
    ["sort=tokens&limit=2", [4, 3, 2, 1, 0, 5]],
    ["sort=duration&limit=1", [1, 5, 3, 2, 0, 4]],
    ["user=ann&limit=1", [3, 2, 0]],
  ])("with %j", async (query, expected) => {
    expect(await listed(await ownerOf(...VARIED), query)).toEqual(expected);
  });

  test.each([
    ["error=provider_rate_limited", [1]],
    ["error=provider_rate_limited&sort=duration", [1]],
    ["error=model_chain_exhausted", [2]],
  ])("with %j has the turns of this first cause", async (query, expected) => {
    expect(await listed(await ownerOf(...EXHAUSTED), query)).toEqual(expected);
  });

  test.each(["", "&sort=cost"])("of a period that is over before it begins is refused%s", async (sort) => {
    const { token } = await ownerOf({});
    for (const from of ["2026-02-01T00:00:00Z", "2026-01-01T00:00:00Z"]) {
      const response = await call("GET", `/api/turns?from=${from}&to=2026-01-01T00:00:00Z${sort}`, { token });
      const errors = [{ path: "from", message: expect.stringContaining("must be before `to`") }];
      expect([response.status, await response.json()]).toMatchObject([400, { errors }]);
    }
  });

  test("has the turns of a period; `to` is excluded", async () => {
    const owner = await ownerOf({}, {}, {});
    const { turns } = await list(owner);
    const ends = turns.map(({ ended_at }) => ended_at).toReversed();
    expect(await listed(owner, `from=${ends[1]}`)).toEqual([2, 1]);
    expect(await listed(owner, `to=${ends[1]}`)).toEqual([0]);
    expect(await listed(owner, `from=${ends[0]}&to=${ends[2]}&sort=duration`)).toEqual([1, 0]);
  });

  test("reads a bounded number of turns for a page, and ends with all that pass", async () => {
    const many = Array.from({ length: 2300 }, (_, index) => ({
      ended_at: new Date(Date.now() - (2300 - index) * 1000).toISOString(),
      channel: index % 1000 === 7 ? "rare" : "main",
    }));
    const owner = await ownerOf(...many);
    const first = await list(owner, "?channel=rare&limit=5");
    expect(first.turns.length).toBeLessThan(3);
    expect(first.nextCursor).toBeDefined();
    expect(await listed(owner, "channel=rare&limit=5")).toEqual([2007, 1007, 7]);
    expect(await listed(owner, "limit=100")).toEqual(Array.from({ length: 2300 }, (_, index) => 2299 - index));
  });

  test("never shows the turns of another owner", async () => {
    const [ours, theirs] = [await ownerOf({ user_id: "ann" }), await ownerOf({ user_id: "ann" })];
    expect(await listed(ours, "user=ann")).toEqual([0]);
    expect(await listed(ours, `sessionId=${sessionId("a")}`)).toEqual([0]);
    expect((await stats(theirs)).total.turns).toBe(1);
  });

  test.each(["sort=none", "outcome=maybe", "from=yesterday", "cursor=x", "sort=cost&cursor=WyJhIiwiYiJd", "user="])(
    "is refused for %j",
    async (query) => {
      expect((await call("GET", `/api/turns?${query}`, { token: (await ownerOf()).token })).status).toBe(400);
    },
  );

  test("a cursor of one order is refused by another", async () => {
    const owner = await ownerOf({}, {}, {});
    const { nextCursor } = await list(owner, "?sort=cost&limit=1");
    for (const query of [`sort=wait&cursor=${nextCursor}`, `cursor=${nextCursor}`])
      expect((await call("GET", `/api/turns?${query}`, { token: owner.token })).status, query).toBe(400);
  });

  test("a forged cursor gives a sorted list no period without an end", async () => {
    const { token } = await ownerOf({});
    const cursor = encodeCursor(["cost", "", "9999", "5", "x"]);
    const response = await call("GET", `/api/turns?sort=cost&cursor=${cursor}`, { token });
    expect(response.status).toBe(400);
    expect(await response.text()).toContain("invalid-cursor");
  });

  test.each([
    "from=2026-01-01T00:00:00Z&to=9999-12-31T23:59:59Z",
    "from=2026-01-01T00:00:00Z&to=9999-12-31T23:59:59.999-12:00",
    "from=0000-01-01T00:00:00%2B14:00&to=9999-12-31T23:59:59.999Z",
  ])("a period to the end of the years that a text can have has all turns: %s", async (period) => {
    const owner = await ownerOf({}, {});
    expect((await list(owner, `?${period}`)).turns).toHaveLength(2);
    const { total, from, to } = await stats(owner, `?${period}`);
    expect(total.turns).toBe(2);
    expect(from < to).toBe(true);
  });

  test("sorted lists have a period of at most 31 days", async () => {
    const { token } = await ownerOf({});
    const response = await call("GET", "/api/turns?sort=cost&from=2020-01-01T00:00:00Z", { token });
    expect(response.status).toBe(400);
    expect(await response.text()).toContain("31 days");
  });
});

describe("statistics", () => {
  test("come from rollups by default, and from the turns if they are asked for exactly", async () => {
    const values = Array.from({ length: 50 }, (_, index) => ({ turn_ms: (index + 1) * 37, queue_wait_ms: index }));
    const owner = await ownerOf(...values);
    const rollups = await stats(owner);
    const exact = await stats(owner, "?exact=true");
    expect(exact).toMatchObject({ source: "turns", error_bound: 0 });
    expect(rollups.source).toBe("rollups");
    expect(rollups.error_bound).toBeCloseTo(0.025, 4);
    const truth = exact.total.measures.turn_ms;
    expect(truth).toMatchObject({ known: 50, sum: (37 * 50 * 51) / 2, p50: 25 * 37, p90: 45 * 37, p99: 50 * 37 });
    const estimate = rollups.total.measures.turn_ms;
    expect(estimate).toMatchObject({ known: truth.known, sum: truth.sum });
    for (const at of ["p50", "p90", "p99"] as const) {
      const [a, b] = [estimate[at] as number, truth[at] as number];
      expect(Math.abs(a - b) / b).toBeLessThanOrEqual(rollups.error_bound);
    }
    expect(estimate.bars.reduce((sum, { turns }) => sum + turns, 0)).toBe(50);
    expect(rollups.total.measures.time_to_first_token_ms).toEqual({
      known: 0,
      sum: null,
      p50: null,
      p90: null,
      p99: null,
      bars: [],
    });
  });

  test.each(["", "&exact=true"])("are grouped by one or two keys and by day%s", async (exact) => {
    const owner = await ownerOf(...VARIED);
    const groupsOf = async (by: string) =>
      (await stats(owner, `?by=${by}${exact}`)).groups.map(({ keys, turns }) => [...Object.values(keys), turns]);
    expect(new Set((await groupsOf("user")).map((each) => each.join()))).toEqual(
      new Set(["ann,3", "bob,1", "cy,1", ",1"]),
    );
    expect((await groupsOf("user"))[0]).toEqual(["ann", 3]);
    expect(await groupsOf("repository,branch")).toContainEqual(["https://git.test/app", "main", 1]);
    expect((await groupsOf("outcome"))[0]).toEqual(["ok", 4]);
    const days = await groupsOf("day,user");
    expect(days.reduce((sum, each) => sum + (each.at(-1) as number), 0)).toBe(6);
    expect(days.every(([day]) => /^\d{4}-\d\d-\d\d$/.test(String(day)))).toBe(true);
    const { total, groups } = await stats(owner, `?by=model&user=ann${exact}`);
    expect(total).toMatchObject({ turns: 3, outcomes: { ok: 2, error: 1 }, keys: {} });
    expect(groups.map(({ keys, turns }) => [keys.model, turns])).toEqual([
      ["valet/test", 2],
      ["valet/other", 1],
    ]);
  });

  test.each(["", "&exact=true"])("by error are by the first cause, as lists are%s", async (exact) => {
    const owner = await ownerOf(...EXHAUSTED);
    for (const tool of ["", "&tool=bash"]) {
      const { groups } = await stats(owner, `?by=error&outcome=error${tool}${exact}`);
      const counted = groups.map(({ keys, turns }) => [keys.error, turns]);
      expect(counted).toHaveLength(2);
      expect(counted).toEqual(
        expect.arrayContaining([
          ["provider_rate_limited", 1],
          ["model_chain_exhausted", 1],
        ]),
      );
      const limited = await stats(owner, `?error=provider_rate_limited${tool}${exact}`);
      expect(limited.total.turns).toBe(1);
    }
  });

  test.each(["", "&exact=true"])(
    "of tools have a turn in each tool that it used, and in the total once%s",
    async (exact) => {
      const owner = await ownerOf(
        { tools: ["bash", "edit"], turn_ms: 100, model: "valet/a" },
        { tools: ["bash"], turn_ms: 300, outcome: "error", error_type: "stuck_turn" },
        { tools: [], turn_ms: 5 },
        { tools: null, turn_ms: 7 },
      );
      const byTool = await stats(owner, `?by=tool${exact}`);
      expect(byTool.total).toMatchObject({ turns: 4, measures: { turn_ms: { sum: 412 } } });
      expect(byTool.groups.map(({ keys, turns, measures }) => [keys.tool, turns, measures.turn_ms.sum])).toEqual([
        ["bash", 2, 400],
        ["edit", 1, 100],
      ]);
      expect(byTool.groups[0]?.outcomes).toEqual({ ok: 1, error: 1 });
      const ofBash = await stats(owner, `?by=outcome&tool=bash${exact}`);
      expect([ofBash.total.turns, ofBash.groups.map(({ keys, turns }) => [keys.outcome, turns])]).toEqual([
        2,
        expect.arrayContaining([
          ["ok", 1],
          ["error", 1],
        ]),
      ]);
      const both = await stats(owner, `?by=tool,model&tool=edit${exact}`);
      expect(both.groups.map(({ keys }) => keys)).toEqual([{ tool: "edit", model: "valet/a" }]);
      expect(both.total.turns).toBe(1);
      expect(await listed(owner, "tool=bash")).toEqual([1, 0]);
      expect(await listed(owner, "tool=bash&sort=duration")).toEqual([1, 0]);
      expect(await listed(owner, "tool=no")).toEqual([]);
    },
  );

  test.each(["?by=outcome", "?by=tool", "?by=outcome&exact=true", "?by=tool&exact=true"])(
    "say of a sum that it is a lower bound%s",
    async (query) => {
      const known = { cost_usd: 0.25, tokens_input: 100, tokens_output: 10, tools: ["bash"] };
      const partial = { ...known, calls_without_cost: 1, calls_without_usage: 1 };
      const nothing = { ...partial, cost_usd: null, tokens_input: null, tokens_output: null };
      const free = { ...known, cost_usd: 0, tokens_input: 0, tokens_output: 0 };
      const sums = async (...turns: Partial<TurnRecord>[]) => {
        const { total, groups } = await stats(await ownerOf(...turns), query);
        return [total, ...groups].map(({ measures }) => {
          const { cost_usd, tokens_input, tokens_output } = measures;
          return [cost_usd, tokens_input, tokens_output].map(({ known: of, partial: parts, sum }) => [of, parts, sum]);
        });
      };
      const twice = (each: unknown) => [each, each];
      expect(await sums(known, known)).toEqual(
        twice([
          [2, undefined, 0.5],
          [2, undefined, 200],
          [2, undefined, 20],
        ]),
      );
      expect(await sums(known, partial, partial, nothing)).toEqual(
        twice([
          [3, 2, 0.75],
          [3, 2, 300],
          [3, 2, 30],
        ]),
      );
      // 0 and something unknown are not known.
      expect(await sums(free, nothing)).toEqual(twice([1, 1, 1].map((of) => [of, undefined, null])));
    },
  );

  test("of sessions come from the turns", async () => {
    const owner = await ownerOf(...VARIED);
    const { source, groups } = await stats(owner, "?by=session");
    expect([source, groups.map(({ turns }) => turns)]).toEqual(["turns", [5, 1]]);
    expect((await stats(owner, `?sessionId=${sessionId("b")}`)).total.turns).toBe(1);
    expect((await stats(owner, "?by=parent")).groups.map(({ turns }) => turns)).toEqual([5, 1]);
    const long = "?by=session&from=2020-01-01T00:00:00Z";
    expect((await call("GET", `/api/turns/stats${long}`, { token: owner.token })).status).toBe(400);
  });

  test("fall back to rollups for a period that is too long to be exact, and say so", async () => {
    const owner = await ownerOf({});
    expect(await stats(owner, "?exact=true&from=2020-01-01T00:00:00Z")).toMatchObject({
      source: "rollups",
      from: "2020-01-01T00:00:00.000Z",
      total: { turns: 1 },
    });
  });

  test("of more turns than can be read exactly come from rollups, and a sorted list says that it is partial", async () => {
    const owner = await ownerOf({});
    const { owner_id } = (await DB.prepare("SELECT owner_id FROM turns WHERE attempt_id = ?")
      .bind(owner.ids[0])
      .first()) as { owner_id: string };
    const columns = Object.keys(TURN).join(", ");
    const values = columns.replace("attempt_id", "'many_' || n");
    await DB.prepare(
      `WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 10000)
       INSERT INTO turns (owner_id, ${columns}) SELECT owner_id, ${values} FROM turns, n WHERE owner_id = ?`,
    )
      .bind(owner_id)
      .run();
    const found = await stats(owner, "?exact=true");
    expect(found).toMatchObject({ source: "rollups", total: { turns: 10_001 } });
    const { partial, turns, sorted } = await list(owner, "?sort=duration&limit=1");
    expect([partial, turns.length]).toEqual([true, 1]);
    // Nobody has named a period, so the answer says which one it is.
    const { from = "", to = "" } = sorted ?? {};
    expect(Date.parse(to) - Date.parse(from)).toBe(31 * 86_400_000);
    expect(await list(owner, "?limit=1")).not.toHaveProperty("sorted");
    const refused = await call("GET", "/api/turns/stats?by=session", { token: owner.token });
    expect(refused.status).toBe(400);
  });

  test.each([
    "by=color",
    "by=user,user",
    "by=user,model,branch",
    "by=",
    "exact=1",
    "from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z",
  ])("are refused for %j", async (query) => {
    expect((await call("GET", `/api/turns/stats?${query}`, { token: (await ownerOf()).token })).status).toBe(400);
  });
});
