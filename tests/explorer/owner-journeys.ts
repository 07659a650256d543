/** A second owner in the browser of the first: nothing of one is shown to the other. */
import type { Page } from "playwright-core";
import { beforeAll, expect, test } from "vitest";
import { HOSTILE_SESSION } from "./hostile-seeds.ts";
import { LONG_SESSION, NEEDY } from "./large-seeds.ts";
import { signIn, type WatchedPage } from "./page.ts";
import { chooseInPalette } from "./palette.ts";
import { OWNER, type SeededExplorer } from "./seeded.ts";

const OTHER = "another owner";
const OWN_SESSION = "ses_other000000000000000000000";
const TITLE = "The other owner's own";

/** @param explorerOf has the large seed and the hostile one, of the first owner */
export function ownerJourneys(explorerOf: () => SeededExplorer): void {
  let explorer: SeededExplorer;
  let page: Page;
  let origin: string;
  let newLink: () => Promise<string>;
  /** What the browser received since the second owner has signed in. */
  const received: string[] = [];
  beforeAll(async () => {
    explorer = explorerOf();
    origin = explorer.up.url;
    const { api } = await explorer.addOwner(OTHER);
    newLink = async () => `${origin}/sign-in#ticket=${(await api.createPageTicket()).ticket}`;
    const session = { id: OWN_SESSION, ownerId: OTHER, title: TITLE, messages: [], frames: [] };
    await explorer.seed({ sessions: [session] });
    ({ page } = await explorer.openSignedIn());
    await page.getByText(`${NEEDY}, oldest first`).waitFor();
    await page.goto(`${origin}/sessions/${LONG_SESSION}`);
    await page.getByRole("heading", { level: 1, name: "A long life" }).waitFor();
    return () => page.context().close();
  });

  /** Signs in without a load of the page, as the owner of its system. */
  async function signInAgain(page: Page): Promise<void> {
    await page.getByLabel("Or paste a token").fill(explorer.up.token);
    await page.keyboard.press("Enter");
  }

  test("after a sign-out by the palette, neither Back nor the address shows what was there", async () => {
    await chooseInPalette(page, "Sign out", "Sign out");
    await page.getByRole("heading", { name: "Sign in to Valet" }).waitFor();
    await page.goBack();
    await page.getByRole("heading", { name: "Sign in to Valet" }).waitFor();
    await page.goto(`${origin}/sessions/${LONG_SESSION}`);
    await page.getByRole("heading", { name: "Sign in to Valet" }).waitFor();
    expect(await page.getByText("A long life").count()).toBe(0);
    expect(
      await page.evaluate(() => [Object.keys(localStorage), Object.keys(sessionStorage)].flat().join()),
    ).not.toContain("ses_");
  });

  test("the inbox, the palette and the turns of the second owner have nothing of the first", async () => {
    page.on("response", async (response) => {
      if (response.url().includes("/api/")) received.push(await response.text().catch(() => ""));
    });
    await page.goto("about:blank");
    await signIn(page, await newLink());
    await page.getByRole("link", { name: TITLE }).waitFor();
    expect(await page.getByRole("link", { name: /^Session number|A long life/ }).count()).toBe(0);
    await page.keyboard.press("Control+k");
    await page.getByRole("dialog").getByRole("combobox").fill("ses_");
    await page.getByRole("option").filter({ hasText: TITLE }).waitFor();
    expect(
      await page
        .getByRole("option")
        .filter({ hasText: /Session number|A long life/ })
        .count(),
    ).toBe(0);
    await page.keyboard.press("Escape");
    await page.goto(`${origin}/turns`);
    await page.getByRole("heading", { level: 1, name: "Turns" }).waitFor({ state: "attached" });
    await page.waitForFunction(() => document.querySelector('[aria-busy="true"]') === null);
    expect(await page.getByRole("table", { name: "Turns" }).count()).toBe(0);
  });

  test.each(["", "/traces", `/traces/${"a".repeat(32)}`, "/why", "/messages/msg_1/why", "/changes"])(
    "a guessed address of the first owner's session leads nowhere: %j",
    async (path) => {
      await page.goto(`${origin}/sessions/${LONG_SESSION}${path}`);
      await page.getByText("There is no such session, or it is not yours").first().waitFor();
      expect(await page.getByText("A long life").count()).toBe(0);
    },
  );

  test("the event stream of the first owner's session is closed to the second", async () => {
    // Of the same browser; not watched, since it does what no page of ours does.
    const intruder = await page.context().newPage();
    await intruder.goto(origin);
    const results = await intruder.evaluate(async (id) => {
      const body = JSON.stringify({ sessionId: id });
      const headers = { "content-type": "application/json", "x-valet-csrf": "1" };
      const { status } = await fetch("/api/tickets", { method: "POST", headers, body });
      const socket = await new Promise<string>((resolve) => {
        const opened = new WebSocket(`/api/sessions/${id}/ws`);
        opened.onmessage = ({ data }) => resolve(String(data));
        opened.onclose = () => resolve("closed");
      });
      return [status, socket];
    }, LONG_SESSION);
    expect(results).toEqual([404, "closed"]);
  });

  test("no answer to the second owner has held a word of the first", () => {
    expect(received.length).toBeGreaterThan(10);
    for (const text of received) {
      expect(text).not.toMatch(/Session number|A long life|Question \d+: what/);
      // Only an error may repeat the id that was asked for.
      if (!text.includes("urn:valet:problem:")) expect(text).not.toContain(HOSTILE_SESSION);
    }
  });

  test("of two browsers with the same link one is signed in, and an expired link signs nobody in", async () => {
    const link = await newLink();
    const pages: WatchedPage[] = [await explorer.open(), await explorer.open()];
    const answers = pages.map(({ page }) =>
      page.waitForResponse((response) => response.url().endsWith("/api/page-sessions")),
    );
    await Promise.all(pages.map(({ page }) => page.goto(link)));
    const statuses = (await Promise.all(answers)).map((response) => response.status());
    expect(statuses.toSorted()).toEqual([201, 401]);
    const late = await newLink();
    await explorer.seed({
      statements: [{ sql: "UPDATE page_tickets SET expires_at = ?", params: ["2020-01-01T00:00:00.000Z"] }],
    });
    const { page } = await explorer.open();
    await page.goto(late);
    await page.getByText("This link did not sign you in.").waitFor();
    expect(await page.context().cookies()).toEqual([]);
  });

  test("whoever signs in next on the same page sees nothing of what it showed, even by Back", async () => {
    const { page } = await explorer.openSignedIn(`/sessions/${LONG_SESSION}`);
    await page.getByText("Answer 9999, with").first().waitFor();
    await page.getByRole("form", { name: "Message" }).getByRole("textbox", { name: "Message" }).fill("mine alone");
    await chooseInPalette(page, "Sign out", "Sign out");
    await page.getByRole("heading", { name: "Sign in to Valet" }).waitFor();
    expect(await page.evaluate(() => JSON.stringify(sessionStorage))).not.toContain("mine alone");
    await page.getByLabel("Or paste a token").fill((await explorer.addOwner(OTHER)).token);
    await page.keyboard.press("Enter");
    await page.getByRole("link", { name: TITLE }).waitFor();
    // Its answers are slow: what is shown meanwhile comes from the page.
    let release = () => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    await page.route(`**/api/sessions/${LONG_SESSION}**`, async (route) => {
      await held;
      await route.continue();
    });
    await page.goBack();
    await page.getByText("Loading the session").first().waitFor();
    expect(await page.getByText(/Answer \d+, with|Question \d+/).count()).toBe(0);
    release();
    await page.getByRole("heading", { name: "There is no such session, or it is not yours" }).waitFor();
  });

  test("a sign-out leaves no attached file in the tab, whoever signs in next, nor one that is still being read", async () => {
    const { page } = await explorer.openSignedIn(`/sessions/${LONG_SESSION}`);
    const composer = page.getByRole("form", { name: "Message" });
    await page.evaluate(() => {
      const { arrayBuffer } = Blob.prototype;
      const released = new Promise<void>((resolve) => addEventListener("release", () => resolve()));
      Blob.prototype.arrayBuffer = async function () {
        if (this instanceof File && this.name === "late.md") await released;
        return arrayBuffer.call(this);
      };
    });
    const fileOf = (name: string) => ({ name, mimeType: "", buffer: Buffer.from("# Mine") });
    await composer.locator('input[type="file"]').setInputFiles(["mine.md", "late.md"].map(fileOf));
    await composer.getByText("mine.md").waitFor();
    await chooseInPalette(page, "Sign out", "Sign out");
    await signInAgain(page);
    await page.getByRole("heading", { level: 1, name: "Inbox" }).waitFor({ state: "attached" });
    await page.goBack();
    await composer.waitFor();
    await page.evaluate(async () => {
      dispatchEvent(new Event("release"));
      await new File([], "late.md").arrayBuffer();
    });
    await composer.locator('input[type="file"]').setInputFiles(fileOf("next.md"));
    await composer.getByText("next.md").waitFor();
    expect(await composer.getByText(/mine\.md|late\.md/).count()).toBe(0);
  });

  test("a sign-out whose answer is lost leaves neither draft nor file", async () => {
    const { page } = await explorer.openSignedIn(`/sessions/${LONG_SESSION}`);
    const composer = page.getByRole("form", { name: "Message" });
    const field = composer.getByRole("textbox", { name: "Message" });
    const file = { name: "mine.md", mimeType: "", buffer: Buffer.from("# Mine") };
    await composer.locator('input[type="file"]').setInputFiles(file);
    await composer.getByText("mine.md").waitFor();
    await field.fill("mine alone");
    await page.route("**/api/page-sessions/current", async (route) => {
      await route.fetch();
      await route.abort();
    });
    await chooseInPalette(page, "Sign out", "Sign out");
    // Another read is refused.
    await page.getByRole("heading", { name: "Sign in to Valet" }).waitFor();
    expect(await page.evaluate(() => JSON.stringify(sessionStorage))).not.toContain("mine alone");
    await signInAgain(page);
    await composer.waitFor();
    expect([await field.inputValue(), await composer.getByText("mine.md").count()]).toEqual(["", 0]);
  });

  test("a session is not called deleted where another tab has signed in as somebody else", async () => {
    const { page } = await explorer.openSignedIn(`/sessions/${LONG_SESSION}`);
    await page.getByRole("heading", { level: 1, name: "A long life" }).waitFor();
    await signIn(await page.context().newPage(), await newLink());
    await page.getByRole("heading", { name: "There is no such session, or it is not yours" }).waitFor();
  });

  test("a sign-in that expires in the middle asks for another one, and leads back to the same place", async () => {
    const { page } = await explorer.openSignedIn(`/sessions/${LONG_SESSION}?message=msg_9000`);
    await page.getByText("Answer 9000, with").first().waitFor();
    const sql = "UPDATE page_sessions SET expires_at = ? WHERE owner_id = ?";
    await explorer.seed({ statements: [{ sql, params: ["2020-01-01T00:00:00.000Z", OWNER] }] });
    await page.getByRole("heading", { name: "Sign in to Valet" }).waitFor();
    await signInAgain(page);
    await page.waitForURL((url) => url.search === "?message=msg_9000");
    await page.getByText("Answer 9000, with").first().waitFor();
  });

  test("a message whose answer was lost before the sign-in expired is sent again as the same one, with its file", async () => {
    const { page } = await explorer.openSignedIn(`/sessions/${LONG_SESSION}`);
    const composer = page.getByRole("form", { name: "Message" });
    const field = composer.getByRole("textbox", { name: "Message" });
    const send = composer.getByRole("button", { name: /^Send/ });
    const file = { name: "plan.md", mimeType: "", buffer: Buffer.from("# Plan") };
    await composer.locator('input[type="file"]').setInputFiles(file);
    await composer.getByText("plan.md").waitFor();
    await composer.getByRole("button", { name: "Steer now" }).click();
    await field.fill("lost on its way");
    const sent: unknown[] = [];
    let isLost = true;
    await page.route("**/messages", async (route) => {
      if (route.request().method() !== "POST") return route.continue();
      sent.push(route.request().postDataJSON());
      return isLost ? route.abort() : route.fulfill({ status: 202, json: {} });
    });
    await send.click();
    await composer.getByRole("alert").getByText("The message may have arrived.").waitFor();
    isLost = false;
    await page.context().clearCookies();
    await page.getByRole("heading", { name: "Sign in to Valet" }).waitFor();
    await signInAgain(page);
    await composer.getByText("plan.md").waitFor();
    await send.click();
    await expect.poll(() => field.inputValue()).toBe("");
    expect(sent[1]).toEqual(sent[0]);
    expect(sent[0]).toMatchObject({ queueMode: "steer", attachments: [{ filename: "plan.md" }] });
  });
}
