/** The turns across sessions, in a real browser: filters and order in the URL, pages by cursor, the way to a turn. */
import type { Page, Route } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { OwnerTurns, TurnGroup, TurnStats } from "../../packages/shared/src/protocol/turn-stats.ts";
import { type Explorer, startExplorer } from "./page.ts";

const SESSION = `ses_${"0".repeat(26)}`;
const REPOSITORY = "https://github.com/acme/shop";
const HOSTILE = "<img src=x onerror=alert(1)>\u202e";
const COUNT = 250;
const PAGE = 100;

const distribution = (known: number) => ({
  known,
  sum: known === 0 ? null : known,
  p50: known === 0 ? null : 1_200,
  p90: known === 0 ? null : 9_000,
  p99: known === 0 ? null : 40_000,
  bars: known === 0 ? [] : [{ from: 1_000, to: 10_000, turns: known }],
});
const group = (keys: TurnGroup["keys"], turns: number): TurnGroup => ({
  keys,
  turns,
  outcomes: { ok: turns - 1, error: 1 },
  measures: {
    queue_wait_ms: distribution(turns),
    time_to_first_token_ms: distribution(turns),
    turn_ms: distribution(turns),
    cost_usd: distribution(0),
    tokens_input: distribution(turns),
    tokens_output: distribution(turns),
  },
});

function statistics(url: URL): TurnStats {
  const by = url.searchParams.get("by");
  const value = by === "day" ? "2026-11-26" : by === "repository" ? REPOSITORY : "mira";
  return {
    from: "2026-11-19T04:00:00.000Z",
    to: "2026-11-26T05:00:00.000Z",
    source: "rollups",
    error_bound: 0.025,
    by: (by === null ? [] : [by]) as TurnStats["by"],
    total: group({}, COUNT),
    groups: by === null ? [] : [group({ [by]: value }, COUNT)],
  };
}

const traceOf = (index: number) => String(index).padStart(32, "0");

/** Every record has the attributes that the page reads; the others are as they are for a turn of an old version: `null`. */
function turn(index: number) {
  const at = new Date(Date.parse("2026-11-26T04:00:00Z") - index * 60_000).toISOString();
  const unknown = ["tokens_cache_read", "tokens_cache_write", "cost_usd", "outcome_reason", "error_cause", "branch"];
  return {
    ...Object.fromEntries(unknown.map((name) => [name, null])),
    attempt_id: `att_${index}`,
    session_id: SESSION,
    message_ids: [`msg_${index}`],
    trace_id: traceOf(index),
    channel: "main",
    model: "acme/model",
    outcome: index === 3 ? "lost" : "ok",
    error_type: index === 3 ? "runner_lost" : null,
    accepted_at: at,
    dispatched_at: at,
    ended_at: at,
    queue_wait_ms: index,
    turn_ms: index === 0 ? 20_000 : 2_000,
    time_to_first_token_ms: null,
    tokens_input: null,
    tokens_output: null,
    user_id: index === 1 ? HOSTILE : "mira",
    repository: REPOSITORY,
  };
}

function list(url: URL): OwnerTurns {
  const start = Number(url.searchParams.get("cursor") ?? 0);
  const turns = Array.from({ length: Math.min(PAGE, COUNT - start) }, (_, index) => turn(start + index));
  const isSorted = (url.searchParams.get("sort") ?? "time") !== "time";
  return {
    turns: turns as unknown as OwnerTurns["turns"],
    ...(isSorted && { sorted: { from: "2026-11-19T04:00:00.000Z", to: "2026-11-26T05:00:00.000Z" } }),
    ...(start + PAGE < COUNT && { nextCursor: String(start + PAGE) }),
  };
}

let explorer: Explorer;
let page: Page;
const asked: URL[] = [];
beforeAll(async () => {
  explorer = await startExplorer();
  ({ page } = await explorer.openSignedIn());
  await page.route("**/api/turns**", (route: Route) => {
    const url = new URL(route.request().url());
    asked.push(url);
    return route.fulfill({ json: url.pathname.endsWith("/stats") ? statistics(url) : list(url) });
  });
  await page.getByRole("navigation", { name: "Main" }).getByRole("link", { name: "Turns" }).click();
  await page.getByRole("table", { name: "Turns" }).waitFor();
}, 90_000);
afterAll(() => explorer.close());

/** Waits for a condition, also on a busy machine. */
const eventually = <T>(value: () => T) => expect.poll(value, { timeout: 20_000, interval: 20 });
const search = () => new URL(page.url()).searchParams;

describe("the table of turns", () => {
  test("says what is not known, what failed, and what is above the p90", async () => {
    const row = (index: number) =>
      page
        .getByRole("table", { name: "Turns" })
        .getByRole("row")
        .nth(index + 1);
    await page.getByText("250 turns · cost not known · 1 failed or lost").waitFor();
    expect(await row(0).textContent()).toContain("above p90: 20");
    expect(await row(0).textContent()).toContain("–");
    expect(await row(3).textContent()).toContain("runner_lost");
    expect(await row(1).textContent()).toContain(HOSTILE);
  });

  test("is sorted by the API, and the URL says so", async () => {
    await page.getByRole("button", { name: "Wait", exact: true }).click();
    await page.getByText("Sorted: the turns that ended").waitFor();
    expect(search().get("sort")).toBe("wait");
    expect(asked.some((url) => url.searchParams.get("sort") === "wait")).toBe(true);
    expect(await page.getByRole("columnheader", { name: "Wait" }).getAttribute("aria-sort")).toBe("descending");
  });

  test("has the rows near the window only, and reads on at its end", async () => {
    const table = page.getByRole("table", { name: "Turns" });
    const scrollOn = async () => {
      await page.keyboard.press("End");
      return table.getAttribute("aria-rowcount");
    };
    await eventually(scrollOn).toBe("251");
    expect(await table.getByRole("row").count()).toBeLessThan(80);
    await page.keyboard.press("Home");
  });
});

describe("filters and groups", () => {
  test("stand in the URL, and are asked of the API", async () => {
    await page.getByRole("button", { name: "Person" }).click();
    await page.getByRole("menuitemcheckbox", { name: /^mira/ }).click();
    await eventually(() => search().get("user")).toBe("mira");
    await eventually(() =>
      asked.some(({ pathname, searchParams }) => pathname === "/api/turns" && searchParams.get("user") === "mira"),
    ).toBe(true);
  });

  test("a group's figures are a table, and its name leads to its turns", async () => {
    await page.getByRole("button", { name: "Group by: none" }).click();
    await page.getByRole("menuitemcheckbox", { name: "repository" }).click();
    const groups = page.getByRole("table", { name: "Duration of a turn by repository: percentiles" });
    await groups.waitFor();
    expect(await groups.getByRole("row").nth(1).textContent()).toMatch(/250.*1\.2.s.*9\.0.s.*40.s/);
    await groups.getByRole("link").click();
    await eventually(() => search().get("repository")).toBe(REPOSITORY);
  });

  test("hold when the page is loaded anew, until they are cleared", async () => {
    await page.reload();
    await page.getByRole("button", { name: "Person: mira" }).waitFor();
    await page.getByRole("button", { name: "Clear" }).click();
    await eventually(() => [...search().keys()]).toEqual(["sort", "by"]);
  });
});

test("the arrow keys go from row to row, and Enter leads to the turn's trace", async () => {
  await page.goto(`${explorer.up.url}/turns`);
  await page.getByRole("table", { name: "Turns" }).waitFor();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await eventually(() => page.url()).toContain(`/sessions/${SESSION}/traces/${traceOf(1)}`);
});

test("a point of the plot leads to its trace", async () => {
  await page.goto(`${explorer.up.url}/turns`);
  const plot = page.getByRole("img", { name: /^Duration of a turn of the 100 turns/ }).locator(".u-over");
  // The last turn stands near the right edge; the clicks go down there until they meet it.
  let top = 4;
  const click = async () => {
    const box = await plot.boundingBox();
    if (box === null) return page.url();
    top = (top + 12) % box.height;
    await plot.click({ position: { x: box.width * 0.99, y: top }, timeout: 1_000 }).catch(() => undefined);
    return page.url();
  };
  await eventually(click).toContain(traceOf(0));
});

test("no page has violated its policy, logged an error or asked another origin", () => {
  expect(explorer.misdeeds()).toEqual({ policy: [], errors: [], foreign: [] });
});
