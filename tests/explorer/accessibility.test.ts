/** Every page with the demo's data: axe finds nothing in either theme, wide and narrow, and nothing overflows at 320 px. */
import { rmSync } from "node:fs";
import axe from "axe-core";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeDemoRepository } from "../../packages/cli/src/demo/demo-repository.ts";
import { runDemo } from "../../packages/cli/src/demo/run-demo.ts";
import { type Explorer, startExplorer } from "./page.ts";

const THEMES = ["light", "dark"] as const;
const WIDTHS = [1440, 320] as const;
/** WCAG 2.2 AA, and what is good practice. */
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

let explorer: Explorer;
let page: Page;
let places: Readonly<Record<Place, string>>;

type Place =
  | "inbox"
  | "inbox without a match"
  | "session"
  | "timeline"
  | "trace"
  | "why"
  | "changes"
  | "turns"
  | "turns by day"
  | "an error"
  | "no such page";

beforeAll(async () => {
  const repository = await makeDemoRepository();
  explorer = await startExplorer();
  const { api } = explorer.up;
  const { sessionId, traces } = await runDemo(api, repository.url, () => {});
  rmSync(repository.folder, { recursive: true, force: true });
  const prompt = traces.find(({ spans }) => spans.some(({ name }) => name === "valet.prompt"));
  const [message] = await api.messages(sessionId);
  const session = `/sessions/${sessionId}`;
  places = {
    inbox: "/",
    "inbox without a match": "/?q=nothing",
    session,
    timeline: `${session}?tab=timeline`,
    trace: `${session}/traces/${prompt?.traceId}`,
    why: `${session}/messages/${message?.id}/why`,
    changes: `${session}/changes`,
    turns: "/turns",
    "turns by day": "/turns?by=day&of=cost",
    "an error": "/turns?outcome=nonsense",
    "no such page": "/nowhere",
  };
  // The policy of the page has no room for axe; that the page keeps to it is tested by its journeys.
  ({ page } = await explorer.openSignedIn("/", { bypassCSP: true, reducedMotion: "reduce" }));
}, 120_000);
afterAll(() => explorer.close());

/** Resolves when the page has what it shows: it has a heading, and nothing loads. */
async function settle(page: Page): Promise<void> {
  await page.locator("h1").first().waitFor({ state: "attached" });
  await page.waitForFunction(() => document.querySelector('[aria-busy="true"], .sk') === null);
}

/** Returns what axe finds, a line for each element. */
async function faults(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  return page.evaluate(async (tags) => {
    const { axe } = window as unknown as { axe: typeof import("axe-core") };
    const { violations } = await axe.run(document, { runOnly: tags, resultTypes: ["violations"] });
    return violations.flatMap(({ id, nodes }) =>
      nodes.map(({ target, failureSummary }) => `${id}: ${target.join(" ")}: ${failureSummary}`),
    );
  }, TAGS);
}

/** Checks what is shown, in each theme and at each width. */
async function check(page: Page): Promise<void> {
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 900 });
    for (const colorScheme of THEMES) {
      await page.emulateMedia({ colorScheme });
      await page.locator(`:root[data-theme="${colorScheme}"]`).waitFor();
      expect(await faults(page), `${colorScheme}, ${width} px`).toEqual([]);
    }
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    expect(wide, `the width of the page at ${width} px`).toBeLessThanOrEqual(width);
  }
}

test.each<Place>([
  "inbox",
  "inbox without a match",
  "session",
  "timeline",
  "trace",
  "why",
  "changes",
  "turns",
  "turns by day",
  "an error",
  "no such page",
])(
  "%s",
  async (place) => {
    await page.setViewportSize({ width: 1440, height: 900 });
    await page.goto(explorer.up.url + places[place]);
    await settle(page);
    await check(page);
  },
  30_000,
);

test.each([
  ["the list of keys", "?"],
  ["the command palette", "Control+k"],
  ["the dialog for a new session", "c"],
])(
  "%s",
  async (_what, key) => {
    await page.setViewportSize({ width: 1440, height: 900 });
    await page.goto(explorer.up.url);
    await settle(page);
    await page.keyboard.press(key);
    await page.getByRole("dialog").waitFor();
    await check(page);
  },
  30_000,
);

test("the sign-in", async () => {
  const { page } = await explorer.open({ bypassCSP: true, reducedMotion: "reduce" });
  await page.goto(`${explorer.up.url}/sign-in`);
  await settle(page);
  await check(page);
}, 30_000);
