/** One way through everything, once by mouse and once by keyboard alone: what needs somebody, the answer to it, and what became of it. */
import type { Locator, Page } from "playwright-core";
import { beforeAll, describe, expect, test } from "vitest";
import type { Work } from "./work.ts";

const PERMISSIONS = ["clipboard-read", "clipboard-write"];
/** Of a sandbox's start. */
const TIMEOUT_MS = 180_000;
/** More presses of Tab than any way on the page takes. */
const MAX_TABS = 60;

/** @param workOf has the system in which a session asks */
export function wholeJourneys(workOf: () => Work): void {
  let page: Page;
  let title: string;
  let sessionId: string;

  /** @returns what closes the page */
  async function begin(by: string, reducedMotion: "reduce" | "no-preference"): Promise<() => Promise<void>> {
    title = `Asks, and is answered by ${by}`;
    sessionId = await workOf().begin(title, "ask", ({ questions }) => questions.length > 0);
    const options = { viewport: { width: 1440, height: 900 }, permissions: PERMISSIONS, reducedMotion };
    ({ page } = await workOf().explorer.openSignedIn("/", options));
    await needy().waitFor();
    return () => page.context().close();
  }

  const needy = () => page.getByRole("region", { name: "Needs you" }).getByRole("link", { name: title });
  const option = () => page.getByRole("region", { name: "The agent asks" }).getByRole("button", { name: /^Yes, the/ });
  const answered = () => page.getByRole("region", { name: "Messages and turns" }).getByText("So the tests it is.");
  const tab = (name: string) =>
    page.getByRole("navigation", { name: "Session" }).getByRole("link", { name, exact: true });
  const trace = () => page.getByRole("link", { name: /\/messages/ });
  const tree = () => page.getByRole("treegrid", { name: "Spans" });
  const row = (text: string | RegExp) => tree().getByRole("row").filter({ hasText: text });
  const active = () => tree().locator('[role="row"][aria-selected="true"]').textContent();
  const field = () => page.getByRole("searchbox", { name: "Search names and attributes" });
  const copy = () => page.getByRole("button", { name: "Copy valet.session.id" });
  const copied = () => page.evaluate(() => navigator.clipboard.readText());
  const raw = () => page.getByLabel("OTLP of this span");
  const file = () => page.getByRole("button", { name: /src\/answered\.ts/ });
  const at = (end: RegExp) => page.waitForURL(({ pathname }) => end.test(pathname));
  const link = (name: string) => page.getByRole("navigation", { name: "Main" }).getByRole("link", { name });

  describe("by mouse", () => {
    beforeAll(() => begin("mouse", "no-preference"), TIMEOUT_MS);

    test("what needs somebody leads to its question, and the answer to the end of the turn", async () => {
      await needy().click();
      await option().click();
      await answered().waitFor();
      await tab("Trace").click();
      await trace().click();
      await row("valet.turn").first().waitFor();
    });

    test("in the trace: matches, errors, a link, an attribute, the raw span", async () => {
      await field().fill("execute_tool");
      await page.getByText(/of 3$/).waitFor();
      await page.getByRole("button", { name: "Next match" }).click();
      await expect.poll(active).toContain("execute_tool read");
      await page.getByRole("button", { name: "Next match" }).click();
      await expect.poll(active).toContain("execute_tool question");
      await page.getByRole("button", { name: "Previous match" }).click();
      await expect.poll(active).toContain("execute_tool read");
      await page.getByRole("button", { name: "Next error" }).click();
      await expect.poll(active).toContain("execute_tool read");
      await copy().click();
      await expect.poll(copied).toBe(sessionId);
      await page.getByRole("tab", { name: "OTLP" }).click();
      await expect.poll(() => raw().textContent()).toContain('"execute_tool read"');
      await row("valet.queue.wait").locator("[data-ties]").click();
      await row(/another trace/).waitFor();
      await row(/^valet\.sandbox\./)
        .first()
        .waitFor();
    });

    test("why, changes and turns follow, and Back leads the same way back", async () => {
      await tab("Why").click();
      await page.getByRole("region", { name: "Answer" }).waitFor();
      await tab("Changes").click();
      await file().waitFor();
      await link("Turns").click();
      await page.getByRole("table", { name: "Turns" }).waitFor();
      await page.goBack();
      await file().waitFor();
      await page.goBack();
      await page.getByRole("region", { name: "Answer" }).waitFor();
      await page.goBack();
      await tree().waitFor();
      await link("Inbox").click();
      await page.getByRole("heading", { level: 1, name: "Inbox" }).waitFor();
      await expect.poll(() => needy().count()).toBe(0);
    });
  });

  describe("by keyboard alone", () => {
    /** Where a key has left the focus on nothing. */
    const lost: string[] = [];
    /** Resolves when the focus is on nothing no more, or that is noted: the next key could put it somewhere. */
    const found = () =>
      page.waitForFunction(() => (window as unknown as { valetFocusSought: number }).valetFocusSought === 0);
    const press = async (...keys: string[]) => {
      for (const key of keys) {
        await found();
        await page.keyboard.press(key);
      }
    };
    const hasFocus = (target: Locator) =>
      target.evaluateAll((all) => all.some((one) => one === document.activeElement));
    /** Goes on by Tab until something has the focus. */
    async function tabTo(target: Locator, key = "Tab"): Promise<void> {
      await target.first().waitFor();
      for (let presses = 0; presses < MAX_TABS; presses++) {
        await press(key);
        if (await hasFocus(target)) return;
      }
      throw new Error(`${MAX_TABS} presses of ${key} do not lead to ${target}`);
    }

    beforeAll(async () => {
      const close = await begin("keyboard", "reduce");
      await page.exposeFunction("valetFocusLost", (after: string) => lost.push(after));
      await page.evaluate(() => {
        const page = window as unknown as { valetFocusLost(after: string): void; valetFocusSought: number };
        page.valetFocusSought = 0;
        const isLost = () => document.activeElement === document.body;
        /** It may be on its way: one dialog has closed, and the next is being loaded. @param looks so many more, one in 100 ms */
        const seek = (after: string, looks: number) => {
          if (isLost() && looks > 0) setTimeout(() => seek(after, looks - 1), 100);
          else {
            if (isLost()) page.valetFocusLost(after);
            page.valetFocusSought--;
          }
        };
        addEventListener("keyup", ({ key }) => {
          // After what the key has done was drawn.
          requestAnimationFrame(() =>
            setTimeout(() => {
              if (!isLost()) return;
              page.valetFocusSought++;
              seek(`${key} at ${location.pathname}`, 100);
            }, 50),
          );
        });
      });
      return close;
    }, TIMEOUT_MS);

    test("the list of keys turns single keys off, and on again", async () => {
      const keys = page.getByRole("dialog", { name: "Keys" });
      const areOn = keys.getByRole("checkbox", { name: /^Single keys work/ });
      await press("?");
      await keys.getByText("Next that needs you").waitFor();
      await tabTo(areOn);
      await press("Space", "Escape");
      await keys.waitFor({ state: "detached" });
      await press("c", "j", "?");
      expect(await page.getByRole("dialog").count()).toBe(0);
      expect(await hasFocus(needy())).toBe(false);
      await press("Control+K");
      const search = page.getByRole("combobox", { name: "Search or jump to…" });
      await search.waitFor();
      // While it opens, the palette keeps what is typed, but has no focus yet.
      await expect.poll(() => hasFocus(search)).toBe(true);
      await page.keyboard.type("Show the keys");
      // Enter takes what is marked, and the mark follows the text a moment later.
      await page.getByRole("option", { name: /^Show the keys/, selected: true }).waitFor();
      await press("Enter");
      await tabTo(areOn);
      await press("Space", "Escape");
      await keys.waitFor({ state: "detached" });
    });

    test("what needs somebody leads to its question, and the answer to the end of the turn", async () => {
      await press("j");
      while (!(await hasFocus(needy()))) await press("j");
      await press("Enter");
      await tabTo(option());
      await press("Enter");
      await answered().waitFor();
      await tabTo(tab("Trace"), "Shift+Tab");
      await press("Enter");
      await tabTo(trace());
      await press("Enter");
      await row("valet.turn").first().waitFor();
    });

    test("in the trace: matches, errors, a link, an attribute, the raw span", async () => {
      await press("/");
      await page.keyboard.type("execute_tool");
      await page.getByText(/of 3$/).waitFor();
      await press("Enter");
      await expect.poll(active).toContain("execute_tool read");
      await tabTo(tree().getByRole("row"));
      await press("n");
      await expect.poll(active).toContain("execute_tool question");
      await press("Shift+N");
      await expect.poll(active).toContain("execute_tool read");
      await press("Home", "e");
      await expect.poll(active).toContain("execute_tool read");
      await press("Enter");
      await tabTo(copy());
      await press("Enter");
      await expect.poll(copied).toBe(sessionId);
      await tabTo(page.getByRole("tab", { name: "Attributes" }), "Shift+Tab");
      await press("End");
      await expect.poll(() => raw().textContent()).toContain('"execute_tool read"');
      await press("Escape", "Home");
      while (!(await active())?.includes("valet.queue.wait")) await press("ArrowDown");
      await press("l");
      await row(/^valet\.sandbox\./)
        .first()
        .waitFor();
      await press("ArrowDown", "ArrowDown");
      await expect.poll(active).toMatch(/^valet\.sandbox\./);
    });

    test("why, changes and turns follow, and Back leads the same way back", async () => {
      await tabTo(tab("Why"), "Shift+Tab");
      await press("Enter");
      await page.getByRole("region", { name: "Answer" }).waitFor();
      await tabTo(page.getByRole("button", { name: /^Unfold: / }));
      await press("ArrowRight");
      await tabTo(page.getByRole("link", { name: /^span/ }));
      await tabTo(tab("Changes"), "Shift+Tab");
      await press("Enter");
      await tabTo(file());
      await press("Enter");
      await page.getByText("export const answered = true;").first().waitFor();
      await tabTo(link("Turns"), "Shift+Tab");
      await press("Enter");
      await page.getByRole("table", { name: "Turns" }).waitFor();
      await page.goBack();
      await page.getByText("export const answered = true;").first().waitFor();
      await page.goBack();
      await page.getByRole("region", { name: "Answer" }).waitFor();
      await press("Shift+I");
      await at(/^\/$/);
      await page.getByRole("heading", { level: 1, name: "Inbox" }).waitFor();
      await expect.poll(() => needy().count()).toBe(0);
    });

    test("no key has left the focus on nothing", async () => {
      await found();
      expect(lost).toEqual([]);
    });
  });
}
