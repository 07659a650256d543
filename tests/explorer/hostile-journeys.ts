/** Text that wants to be more than text, on every page that shows it. */
import type { Page } from "playwright-core";
import { beforeAll, expect, test } from "vitest";
import { visibleText } from "../../packages/shared/src/visible-text.ts";
import { HOSTILE_ANSWERS, HOSTILE_SESSION, type HostileAnswer, hostileMessageId, MARKUP } from "./hostile-seeds.ts";
import type { SeededExplorer } from "./seeded.ts";

/** @param explorerOf has the hostile seed */
export function hostileJourneys(explorerOf: () => SeededExplorer): void {
  let page: Page;
  let session: string;
  const dialogs: string[] = [];
  beforeAll(async () => {
    const explorer = explorerOf();
    session = `${explorer.up.url}/sessions/${HOSTILE_SESSION}`;
    ({ page } = await explorer.openSignedIn("/", { viewport: { width: 320, height: 800 } }));
    page.on("dialog", (dialog) => {
      dialogs.push(dialog.message());
      void dialog.dismiss();
    });
    return () => page.context().close();
  });

  /**
   * What the outside has made of the page: elements that only markup can make, links other than to this site or by https into another
   * tab, and a page that is wider than its window.
   */
  const damage = () =>
    page.evaluate(() => {
      const made = document.querySelectorAll(
        "main :is(img, script, iframe, object, [onerror], [onload], [onmouseover])",
      );
      const links = [...document.querySelectorAll<HTMLAnchorElement>("a[href]")].filter(({ href, target, rel }) => {
        const leadsOut = href.startsWith("https://") && target === "_blank" && rel.includes("noopener");
        return !href.startsWith(`${location.origin}/`) && !leadsOut;
      });
      const elements = [...made, ...links].map(({ outerHTML }) => outerHTML.slice(0, 200));
      return { elements, width: document.documentElement.scrollWidth };
    });
  const unharmed = { elements: [], width: 320 };

  test.each(["", "/traces", "/why", "/changes", "?tab=timeline"])(
    "a session's page %j shows its names as text, within 320 px",
    async (path) => {
      await page.goto(session + path);
      const heading = page.getByRole("heading", { level: 1 });
      await expect.poll(() => heading.textContent()).toContain(MARKUP);
      await page.waitForFunction(() => document.querySelector('[aria-busy="true"]') === null);
      expect(await damage()).toEqual(unharmed);
      // What runs backwards or rings a bell is seen as a sign.
      const text = (await heading.textContent()) ?? "";
      expect(text).toBe(visibleText(text));
    },
  );

  test.each([...(Object.keys(HOSTILE_ANSWERS) as HostileAnswer[]), "tools"] as const)(
    "an answer with %s is shown, and the page goes on",
    async (of) => {
      await page.goto(`${session}?message=${hostileMessageId(of)}`);
      const selected = page.locator('[data-row][aria-current="true"]');
      await selected.waitFor();
      expect(await damage()).toEqual(unharmed);
      // The page answers to a key: the message is folded.
      await page.locator('[data-row][aria-current="true"][aria-expanded="true"]').waitFor();
      await selected.focus();
      await page.keyboard.press("Enter");
      await page.locator('[data-row][aria-current="true"][aria-expanded="false"]').waitFor();
    },
  );

  test("what a tool was given and has written is text, cut to what can be laid out", async () => {
    await page.goto(`${session}?message=${hostileMessageId("tools")}`);
    const calls = page.locator(".call");
    await calls.nth(5).waitFor();
    for (const call of await calls.all()) await call.press("Enter");
    await page.locator(".call-more").nth(4).waitFor();
    const read = () => page.locator(".call-more").allTextContents();
    const hasBoth = async () => (await read()).some((text) => text.includes(MARKUP) && text.includes("␛[31m"));
    await expect.poll(hasBoth).toBe(true);
    const texts = await read();
    expect(Math.max(...texts.map(({ length }) => length))).toBeLessThan(20_000);
    expect(await damage()).toEqual(unharmed);
  });

  test("entities of Markdown are read without the DOM, and links say where they lead", async () => {
    await page.goto(`${session}?message=${hostileMessageId("links")}`);
    const said = page.locator(".said").filter({ hasText: "(javascript:alert(4))" });
    // It is plain text until the renderer has come.
    await said.first().getByRole("link", { name: "ten" }).waitFor();
    expect(await said.first().textContent()).toContain("two (JaVaScRiPt:alert(5))");
    expect(await said.first().locator("a").allTextContents()).toEqual(["ten"]);
    expect(await said.first().textContent()).toContain("ten (evil.example)");
    // What overrides the direction of text is a sign; what a Hebrew text was written with is not.
    expect(await said.first().textContent()).toContain("an entity \ufffdgnp.exe, and \u200fשלום (עולם)");
  });

  test("the inbox, the palette and the turns show the names as text", async () => {
    await page.goto(new URL("/?q=onerror", page.url()).href);
    await page.getByRole("link", { name: MARKUP }).waitFor();
    expect(await damage()).toEqual(unharmed);
    await page.keyboard.press("Control+k");
    await page.getByRole("dialog").getByRole("combobox").fill("onerror");
    await page.getByRole("option").filter({ hasText: MARKUP }).waitFor();
    expect(await damage()).toEqual(unharmed);
    await page.goto(new URL("/turns", page.url()).href);
    await page.getByRole("table", { name: "Turns" }).waitFor();
    expect(await damage()).toEqual(unharmed);
  });

  test("nothing of it ran", () => {
    expect(dialogs).toEqual([]);
  });

  test("the time of now can be read even where the whole session is one folded gap", async () => {
    const { page: wide } = await explorerOf().openSignedIn(`/sessions/${HOSTILE_SESSION}`, {
      viewport: { width: 1440, height: 900 },
    });
    const now = wide.locator(".tl-tick-now");
    await now.waitFor();
    const [text, axis] = await Promise.all([now.boundingBox(), wide.locator(".tl-axis .tl-track").boundingBox()]);
    expect(text?.x).toBeGreaterThanOrEqual(axis?.x ?? Number.POSITIVE_INFINITY);
    await wide.context().close();
  });
}
