/** A conversation of 10,000 messages, and 300 sessions: only what is near the window exists, and everything is reached. */
import type { Page } from "playwright-core";
import { beforeAll, expect, test } from "vitest";
import { LONG_SESSION, MESSAGES, messageId, NEEDY, OPENED, SESSIONS } from "./large-seeds.ts";
import { chooseInPalette } from "./palette.ts";
import type { SeededExplorer } from "./seeded.ts";

/** The most elements that a page may have, however much there is. */
const MAX_ELEMENTS = 1_500;

/** @param explorerOf has the large seed, and no more */
export function largeJourneys(explorerOf: () => SeededExplorer): void {
  let page: Page;
  let origin: string;
  beforeAll(async () => {
    const explorer = explorerOf();
    origin = explorer.up.url;
    ({ page } = await explorer.openSignedIn("/", { viewport: { width: 1440, height: 900 } }));
    return () => page.context().close();
  });

  const elements = () => page.evaluate(() => document.querySelectorAll("*").length);
  const talk = () => page.getByRole("region", { name: "Messages and turns" });
  /** Whether an element is within the window of what scrolls. */
  const isInView = (text: string) =>
    talk()
      .getByText(text, { exact: true })
      .first()
      .evaluate((element) => {
        const { top, bottom } = element.getBoundingClientRect();
        const window = element.closest(".talk-scroll")?.getBoundingClientRect();
        return window !== undefined && top >= window.top && bottom <= window.bottom;
      });

  test("the inbox has every session, the keyboard reaches the last one, and a search finds one of them", async () => {
    await page.getByText(`${NEEDY}, oldest first`).waitFor();
    // All pages of the list are read, and few rows exist.
    await page.getByText(/^Rest 2\d\d, newest first/).waitFor();
    expect(await elements()).toBeLessThan(MAX_ELEMENTS);
    const oldest = page.getByRole("link", { name: `Session number ${SESSIONS - 1}` });
    const toEnd = async () => {
      await page.keyboard.press("End");
      return oldest.count();
    };
    await expect.poll(toEnd).toBe(1);
    // A row that is the last one that exists is as high as it is among others: else each step of a wheel measures rows again.
    const heights = await page
      .getByRole("list", { name: "Rest" })
      .getByRole("listitem")
      .evaluateAll((rows) => rows.map((row) => row.getBoundingClientRect().height));
    expect(new Set(heights).size).toBe(1);
    await page.keyboard.press("/");
    await page.keyboard.type("number 271");
    await page.getByRole("link", { name: "Session number 271" }).waitFor();
    // It was among those that were shown before the search, too.
    await expect.poll(() => page.getByRole("link", { name: /^Session number/ }).count()).toBe(1);
    await expect.poll(() => new URL(page.url()).searchParams.get("q")).toBe("number 271");
  });

  test("a search has each letter, however fast they come, and is gone when it is cleared elsewhere", async () => {
    await page.goto(origin);
    const field = page.getByRole("searchbox", { name: "Search the sessions" });
    const words = "number 27 of none";
    await field.evaluate((element: HTMLElement, words) => {
      element.focus();
      // No key of a keyboard comes before the page has drawn the one before it; those of a hasty one, on a slow machine, do.
      for (const letter of words) document.execCommand("insertText", false, letter);
    }, words);
    await expect.poll(() => new URL(page.url()).searchParams.get("q")).toBe(words);
    expect(await field.inputValue()).toBe(words);
    await page.getByRole("link", { name: "Clear the filters" }).click();
    await expect.poll(() => field.inputValue()).toBe("");
  });

  test("the palette finds a session by its branch", async () => {
    await chooseInPalette(page, `feature/${OPENED}`, new RegExp(`^Session number ${OPENED}`));
    await page.getByRole("heading", { level: 1, name: `Session number ${OPENED}` }).waitFor();
  });

  test("a conversation of 10,000 messages is at its end, and a key leads further and further back", async () => {
    await page.goto(`${origin}/sessions/${LONG_SESSION}`);
    await talk()
      .getByText(`Question ${MESSAGES - 1}: what is next?`)
      .waitFor();
    expect(await elements()).toBeLessThan(MAX_ELEMENTS);
    // Several pages may come between two looks.
    const back = async () => {
      await page.keyboard.press("Home");
      const questions = await talk()
        .getByText(/Question \d+: what is next\?/)
        .allInnerTexts();
      return Math.min(...questions.map((text) => Number(/Question (\d+)/.exec(text)?.[1])));
    };
    await expect.poll(back).toBeLessThanOrEqual(MESSAGES - 150);
    expect(await elements()).toBeLessThan(MAX_ELEMENTS);
  });

  test.each([MESSAGES - 30, MESSAGES / 2])(
    "a link to message %i shows it, unfolded, on a fresh page",
    async (index) => {
      await page.goto(`${origin}/sessions/${LONG_SESSION}?message=${messageId(index)}`);
      const answer = `Answer ${index}, with emphasis and code.`;
      await expect.poll(() => isInView(answer)).toBe(true);
      expect(await talk().locator('[data-row][aria-current="true"]').count()).toBe(1);
    },
  );
}
