/** A session whose agent asks before each command: asked for in the dialog, answered in place and in the inbox, by mouse and by key. */
import type { Page, Route } from "playwright-core";
import { beforeAll, expect, test } from "vitest";
import type { Explorer } from "./page.ts";

/** @param explorerOf has the scripted model of `session.test.ts` */
export function permissionJourneys(explorerOf: () => Explorer): void {
  let explorer: Explorer;
  let page: Page;
  let id: string;
  beforeAll(async () => {
    explorer = explorerOf();
    ({ page } = await explorer.openSignedIn("/"));
    return () => page.context().close();
  });

  const talk = () => page.getByRole("region", { name: "Messages and turns" });
  const ask = () => page.getByRole("region", { name: "The agent asks for permission" });

  test("a session is created whose agent asks before it runs a command", async () => {
    await page.getByRole("button", { name: "New session" }).click();
    const dialog = page.getByRole("dialog", { name: "New session" });
    await dialog.getByLabel("Title").fill("Asks first");
    await dialog.getByLabel("First message").fill("[commands]");
    await dialog.getByRole("group", { name: "The agent asks a person before" }).getByLabel("it runs a command").check();
    await dialog.getByRole("button", { name: "Create" }).click();
    await page.waitForURL(/\/sessions\/ses_/);
    id = new URL(page.url()).pathname.split("/").at(-1) as string;
    expect((await explorer.up.api.session(id)).askBefore).toEqual(["commands"]);
  });

  test("what it asks for is shown whole, nothing runs before the answer, and a click allows it once", async () => {
    await ask().waitFor({ timeout: 60_000 });
    for (const part of ["touch first", "echo ran $((20 + 1))"]) await ask().getByText(part).waitFor();
    const message = async () => JSON.stringify((await explorer.up.api.messages(id))[0]);
    expect(await message()).not.toContain("ran 21");
    // What the page reads of the session after the answer is of now, and comes last of all.
    let release = () => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    const late = new Promise<void>((resolve) => {
      const hold = async (route: Route) => {
        const response = await route.fetch();
        await held;
        // The page may wait for it no more.
        await route.fulfill({ response }).catch(() => {});
        resolve();
      };
      void page.route(`**/api/sessions/${id}`, hold, { times: 1 });
    });
    await ask()
      .getByRole("button", { name: /^Allow once/ })
      .click();
    await talk()
      .getByText(/answered: allowed once/)
      .waitFor();
    await expect.poll(message).toContain("ran 21");
    // The next command is asked for again, and stays so.
    const next = ask().getByText("echo second");
    await next.waitFor();
    release();
    await late;
    // One question later than the late answer, the page has seen that.
    await page.evaluate(async (path) => (await fetch(path)).json(), `/api/sessions/${id}/now`);
    expect(await next.count()).toBe(1);
  }, 120_000);

  test("in the inbox it needs somebody, and a key there allows it for the rest of the session", async () => {
    await page.getByRole("navigation", { name: "Main" }).getByRole("link", { name: "Inbox" }).click();
    const row = page.locator(`[data-session="${id}"]`);
    await row.getByText("Asks permission").waitFor();
    // The row has what it read of the session last: that may be the request which was answered.
    await row.getByText("echo second").waitFor();
    await row.getByRole("link", { name: "Asks first" }).focus();
    await page.keyboard.press("2");
    await row.getByRole("link", { name: "Asks first" }).click();
    // The same command a second time is not asked for any more; another one is.
    await ask().getByText("echo third").waitFor();
  });

  test("a denial ends the turn and says why", async () => {
    await page.keyboard.press("3");
    await talk()
      .getByText(/answered: reject|denied/i)
      .last()
      .waitFor();
    await expect.poll(async () => (await explorer.up.api.session(id)).permissions).toEqual([]);
    const outcome = async () => (await explorer.up.api.messages(id))[0]?.outcome;
    await expect.poll(outcome).toBe("error");
    await talk().locator(".row-fail").last().waitFor();
  });
}
