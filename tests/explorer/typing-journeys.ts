/** Writing in the fields of the page: by an input method, and fast. */
import type { Page } from "playwright-core";
import { beforeAll, describe, expect, test } from "vitest";
import { LONG_SESSION } from "./large-seeds.ts";
import type { Explorer } from "./page.ts";

/** @param explorerOf has the large seed, of an owner who is signed in */
export function typingJourneys(explorerOf: () => Explorer): void {
  let page: Page;
  beforeAll(async () => {
    ({ page } = await explorerOf().openSignedIn());
    return () => page.context().close();
  });
  const goTo = (path: string) => page.goto(explorerOf().up.url + path);
  const composer = () => page.getByRole("form", { name: "Message" });

  describe("keys while an input method composes belong to it", () => {
    /** Begins a composition in the field that has the focus, presses a key, and ends the composition. */
    async function pressWhileComposing(key: string): Promise<void> {
      const browser = await page.context().newCDPSession(page);
      await browser.send("Input.imeSetComposition", { text: "に", selectionStart: 1, selectionEnd: 1 });
      await page.keyboard.press(key);
      await browser.send("Input.insertText", { text: "日" });
      await browser.detach();
    }

    test("Escape does not leave the message, and does so once nothing is composed", async () => {
      await goTo(`/sessions/${LONG_SESSION}`);
      const field = composer().getByRole("textbox", { name: "Message" });
      await field.focus();
      await pressWhileComposing("Escape");
      await expect.poll(() => field.inputValue()).toBe("日");
      expect(await field.evaluate((element) => element === document.activeElement)).toBe(true);
      await page.keyboard.press("Escape");
      expect(await field.evaluate((element) => element === document.activeElement)).toBe(false);
      await field.fill("");
    });

    test("Enter does not name a new channel", async () => {
      await composer()
        .getByRole("button", { name: /^Channel:/ })
        .click();
      await page.getByRole("menuitem", { name: "New channel…" }).click();
      const name = page.getByRole("textbox", { name: "Name of the new channel" });
      await name.waitFor();
      await pressWhileComposing("Enter");
      await expect.poll(() => name.inputValue()).toBe("日");
      await page.keyboard.press("Enter");
      await composer().getByRole("button", { name: "Channel: 日" }).waitFor();
    });

    test("Escape does not close a dialog with what is written in it", async () => {
      await goTo("/");
      await page.getByRole("button", { name: "New session" }).first().click();
      const title = page.getByRole("dialog").getByLabel("Title");
      await title.focus();
      await pressWhileComposing("Escape");
      await expect.poll(() => title.inputValue()).toBe("日");
      await page.keyboard.press("Escape");
      await title.waitFor({ state: "detached" });
    });
  });

  test("a page that opens while somebody writes in the palette leaves them there, with what they wrote", async () => {
    await goTo("/");
    await page
      .getByRole("link", { name: /^Session number/ })
      .first()
      .waitFor();
    await page.getByRole("navigation", { name: "Main" }).getByRole("link", { name: "Turns" }).press("Enter");
    await expect.poll(() => page.title()).toBe("Turns · Valet");
    await page.keyboard.press("Control+K");
    const field = page.getByRole("combobox", { name: "Search or jump to…" });
    await field.waitFor();
    await page.keyboard.type("session ");
    await page.goBack();
    await expect.poll(() => page.title()).toContain("Inbox · Valet");
    await page.keyboard.type("number");
    expect(await field.inputValue()).toBe("session number");
    await page.keyboard.press("Escape");
  });

  test("the search of the inbox holds what the list is searched for, also after Back", async () => {
    const field = page.getByRole("searchbox", { name: "Search the sessions" });
    const q = () => new URL(page.url()).searchParams.get("q");
    await goTo("/?q=nothing-like-it");
    await page.getByRole("link", { name: "Clear the filters" }).click();
    await expect.poll(q).toBe(null);
    await page.keyboard.press("/");
    await page.keyboard.type("number 12");
    await expect.poll(q).toBe("number 12");
    await page.goBack();
    await expect.poll(q).toBe("nothing-like-it");
    await expect.poll(() => field.inputValue()).toBe("nothing-like-it");
    await page.keyboard.press("End");
    await page.keyboard.type("!");
    await expect.poll(q).toBe("nothing-like-it!");
  });
}
