/** Every page with real work: axe finds nothing in either theme in any layout, nothing overflows, and people's own settings hold. */
import type { Page } from "playwright-core";
import { beforeAll, test } from "vitest";
import { checkLooks, checkWishes, settle } from "./axe-checks.ts";
import type { Work } from "./work.ts";

type Place =
  | "inbox"
  | "inbox without a match"
  | "session"
  | "timeline"
  | "trace"
  | "why"
  | "why it failed"
  | "changes"
  | "turns"
  | "turns by day"
  | "an error"
  | "no such page";

/** @param workOf has the system with the work */
export function looksJourneys(workOf: () => Work): void {
  let page: Page;
  let origin: string;
  let places: Readonly<Record<Place, string>>;
  beforeAll(async () => {
    const { explorer, sessionId, messages } = workOf();
    origin = explorer.up.url;
    const { traceId } = (await explorer.up.api.message(sessionId, messages.edit)) ?? {};
    if (traceId === undefined) throw new Error("the message has no trace");
    const session = `/sessions/${sessionId}`;
    places = {
      inbox: "/",
      "inbox without a match": "/?q=nothing",
      session,
      timeline: `${session}?tab=timeline`,
      trace: `${session}/traces/${traceId}`,
      why: `${session}/messages/${messages.edit}/why`,
      "why it failed": `${session}/messages/${messages.fail}/why`,
      changes: `${session}/changes`,
      turns: "/turns",
      "turns by day": "/turns?by=day&of=cost",
      "an error": "/turns?outcome=nonsense",
      "no such page": "/nowhere",
    };
    // The policy of the page has no room for axe; that the page keeps to it is tested by its journeys.
    ({ page } = await explorer.openSignedIn("/", { bypassCSP: true }));
    return () => page.context().close();
  });

  test.each<Place>([
    "inbox",
    "inbox without a match",
    "session",
    "timeline",
    "trace",
    "why",
    "why it failed",
    "changes",
    "turns",
    "turns by day",
    "an error",
    "no such page",
  ])("%s", async (place) => {
    await page.setViewportSize({ width: 1440, height: 900 });
    await page.goto(origin + places[place]);
    await settle(page);
    await checkLooks(page);
    await checkWishes(page);
  });

  test.each([
    ["the list of keys", "?"],
    ["the command palette", "Control+k"],
    ["the dialog for a new session", "c"],
  ])("%s", async (_what, key) => {
    await page.setViewportSize({ width: 1440, height: 900 });
    await page.goto(origin);
    await settle(page);
    await page.keyboard.press(key);
    await page.getByRole("dialog").waitFor();
    await checkLooks(page);
  });

  test("the sign-in", async () => {
    const { page } = await workOf().explorer.open({ bypassCSP: true });
    await page.goto(`${origin}/sign-in`);
    await settle(page);
    await checkLooks(page);
  });
}
