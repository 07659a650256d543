/** Every page with the demo's data: axe finds nothing in either theme at any width, nothing overflows, and people's own settings hold. */
import { rmSync } from "node:fs";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, test } from "vitest";
import { makeDemoRepository } from "../../packages/cli/src/demo/demo-repository.ts";
import { runDemo } from "../../packages/cli/src/demo/run-demo.ts";
import { checkLooks, checkWishes, settle } from "./axe-checks.ts";
import { type Explorer, startExplorer } from "./page.ts";

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
    await checkLooks(page);
    await checkWishes(page);
  },
  60_000,
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
    await checkLooks(page);
  },
  30_000,
);

test("the sign-in", async () => {
  const { page } = await explorer.open({ bypassCSP: true, reducedMotion: "reduce" });
  await page.goto(`${explorer.up.url}/sign-in`);
  await settle(page);
  await checkLooks(page);
}, 30_000);
