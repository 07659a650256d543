/** A session of six days: it is read as a few lines, which open, and nobody loses their place. */
import type { Page } from "playwright-core";
import { beforeAll, expect, test } from "vitest";
import { CHILDREN, DAYS, LIFE_SESSION, lifeMessageId, lifeSeed, TURNS_A_DAY, WORKFLOW_NAME } from "./life-seeds.ts";
import type { SeededExplorer } from "./seeded.ts";
import { standing, topOf } from "./standing.ts";

export function lifeJourneys(explorerOf: () => SeededExplorer): void {
  let page: Page;
  let origin: string;
  beforeAll(async () => {
    const explorer = explorerOf();
    origin = explorer.up.url;
    await explorer.seed(lifeSeed(Date.now()));
    const viewport = { width: 1440, height: 900 };
    ({ page } = await explorer.openSignedIn(`/sessions/${LIFE_SESSION}`, { viewport }));
    return () => page.context().close();
  }, 60_000);

  const talk = () => page.getByRole("region", { name: "Messages and turns" });
  const lives = () => talk().getByRole("button", { name: new RegExp(`${TURNS_A_DAY} turns: `) });

  test("workflows and child sessions are among it, and have lanes of the timeline", async () => {
    const lane = (name: RegExp) => page.getByRole("listbox", { name });
    for (const title of CHILDREN) await lane(new RegExp(`child, ${title}: 3 items`)).waitFor();
    // The store of seeds has no records of turns, which name the channels: the work itself has a lane, the workflow's steps within.
    await lane(/^No channel/).waitFor();
    const checks = talk().getByRole("button", { name: new RegExp(`Workflow ${WORKFLOW_NAME}.*failed`) });
    await checks.waitFor();
  });

  test("what is amiss though the session goes on stands below what it does", async () => {
    await page.getByText("Warning: An MCP server of the repository's configuration did not start").waitFor();
  });

  test("each past day is one line with its figures, and the nights stand between them", async () => {
    await talk()
      .getByText(/^hibernated/)
      .last()
      .waitFor();
    const toStart = async () => {
      await page.keyboard.press("Home");
      return lives().count();
    };
    await expect.poll(toStart).toBe(DAYS - 1);
    await expect.poll(() => lives().first().textContent()).toMatch(/2.h.19.m · \$2\.10$/);
    await expect.poll(() => lives().nth(2).textContent()).toContain("1 lost");
    const nights = () =>
      talk()
        .getByText(/^hibernated .*, then restored in 8\.4/)
        .count();
    await expect.poll(nights).toBe(DAYS - 1);
  });

  test("a day opens to its turns and folds again, and a link opens it by itself", async () => {
    await lives().first().click();
    await talk().getByText("Step 1:", { exact: false }).first().waitFor();
    await lives().first().click();
    await expect.poll(() => talk().getByText("Step 1:", { exact: false }).count()).toBe(0);
    await page.goto(`${origin}/sessions/${LIFE_SESSION}?message=${lifeMessageId(100)}`);
    await talk().getByText("Step 100 is done", { exact: false }).waitFor();
  });

  test("whoever goes to a trace and comes back stands where they stood", async () => {
    const head = talk().locator('[data-row][aria-current="true"]');
    const before = await standing(head);
    await talk().getByRole("link", { name: "Trace" }).click();
    await page.waitForURL((url) => url.pathname.includes("/traces/"));
    await page.goBack();
    await expect.poll(() => topOf(head)).toBe(before);
  });
}
