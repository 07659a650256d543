/** What goes wrong between the page and the server, and what others do meanwhile: the page says so, keeps the place, and goes on. */
import type { Page, WebSocketRoute } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { settle } from "./axe-checks.ts";
import { LONG_SESSION, MESSAGES, messageId } from "./large-seeds.ts";
import { chooseInPalette } from "./palette.ts";
import { OWNER, type SeededExplorer } from "./seeded.ts";
import { standing, topOf } from "./standing.ts";

const VIEWPORT = { width: 1440, height: 900 };
const GONE_SESSION = "ses_gone0000000000000000000000";
/** Longer than the page waits without a word. */
const WAIT = { "retry-after": "90" };

/** @param explorerOf has the large seed, of an owner who is signed in */
export function faultJourneys(explorerOf: () => SeededExplorer): void {
  const open = async (path: string) => (await explorerOf().openSignedIn(path, { viewport: VIEWPORT })).page;
  const refuse = (page: Page, status: number, headers: Record<string, string> = {}) =>
    page.route("**/api/**", (route) =>
      route.fulfill({ status, headers, json: { type: "urn:valet:problem:x", title: "No answer today", status } }),
    );

  describe("a server that refuses", () => {
    let page: Page;
    beforeAll(async () => {
      page = await open("/");
    });
    afterAll(() => page.close());

    test.each([
      ["the inbox", "/"],
      ["a session", `/sessions/${LONG_SESSION}`],
      ["traces", `/sessions/${LONG_SESSION}/traces`],
      ["why", `/sessions/${LONG_SESSION}/messages/${messageId(MESSAGES - 1)}/why`],
      ["changes", `/sessions/${LONG_SESSION}/changes`],
      ["turns", "/turns"],
    ])("says why and when to try again, and one button does so: %s", async (_what, path) => {
      await refuse(page, 429, WAIT);
      await page.goto(explorerOf().up.url + path);
      const alert = page.getByRole("alert").filter({ hasText: "No answer today. Try again in 1 m 30 s." });
      await alert.first().waitFor();
      await page.unrouteAll({ behavior: "wait" });
      const press = () =>
        alert
          .getByRole("button", { name: "Try again" })
          .evaluateAll(([first]) => (first as HTMLElement | undefined)?.click());
      const isLeft = async () => {
        await press();
        return alert.count();
      };
      await expect.poll(isLeft).toBe(0);
      await settle(page);
    });

    test("leaves what is shown, says that it may be out of date, and is asked again", async () => {
      await page.goto(explorerOf().up.url);
      const row = page.getByRole("link", { name: /^Session number/ }).first();
      await row.waitFor();
      await refuse(page, 500, WAIT);
      const banner = page.getByRole("complementary", { name: "Connection" });
      await banner.getByText("Something here may be out of date. No answer today.").waitFor();
      expect(await row.isVisible()).toBe(true);
      await page.unrouteAll({ behavior: "wait" });
      // Some of it may be asked again by itself meanwhile.
      const now = banner.getByRole("button", { name: "Try now" });
      await now.evaluateAll(([button]) => (button as HTMLElement | undefined)?.click());
      await banner.waitFor({ state: "detached" });
    });
  });

  test("a network that is cut and comes back leaves the place, and what was written", async () => {
    const index = MESSAGES - 40;
    const page = await open(`/sessions/${LONG_SESSION}?message=${messageId(index)}`);
    const answer = page.getByText(`Answer ${index}, with emphasis and code.`).first();
    await answer.waitFor();
    const draft = page.getByRole("form", { name: "Message" }).getByRole("textbox", { name: "Message" });
    await draft.fill("half a thought");
    const before = await standing(answer);
    const network = await page.context().newCDPSession(page);
    const cut = (offline: boolean) =>
      network.send("Network.emulateNetworkConditions", {
        offline,
        latency: 0,
        downloadThroughput: -1,
        uploadThroughput: -1,
      });
    await cut(true);
    const banner = page.getByRole("complementary", { name: "Connection" });
    await banner.getByText("Connection lost").waitFor();
    await expect.poll(() => page.getByRole("banner").getByRole("status").textContent()).toBe("offline");
    await expect.poll(() => topOf(answer)).toBe(before);
    await cut(false);
    await banner.waitFor({ state: "detached" });
    await expect.poll(() => topOf(answer)).toBe(before);
    expect(await draft.inputValue()).toBe("half a thought");
    expect(new URL(page.url()).searchParams.get("message")).toBe(messageId(index));
    await page.close();
  });

  test.each([200, 404])(
    "a network's own page with %i in place of an answer is a lost connection, until Valet answers",
    async (status) => {
      const page = await open(`/sessions/${LONG_SESSION}`);
      const title = page.getByRole("heading", { level: 1, name: "A long life" });
      await title.waitFor();
      await settle(page);
      const body = "<!doctype html><title>Accept the terms</title>";
      await page.route("**/api/**", (route) => route.fulfill({ status, contentType: "text/html", body }));
      const banner = page.getByRole("complementary", { name: "Connection" });
      await banner.getByText("Connection lost").waitFor();
      expect(await title.isVisible()).toBe(true);
      await page.unrouteAll({ behavior: "wait" });
      await page.waitForResponse((response) => response.url().endsWith("/now") && response.ok());
      await banner.waitFor({ state: "detached" });
      await page.context().close();
    },
  );

  test("a server that stands still is a lost connection, and the page goes on once it moves again", async () => {
    const page = await open("/");
    await page
      .getByRole("link", { name: /^Session number/ })
      .first()
      .waitFor();
    await page.route("**/api/**", () => {});
    const banner = page.getByRole("complementary", { name: "Connection" });
    await banner.getByText("Connection lost").waitFor();
    await page.unrouteAll();
    // Some of it may be asked again by itself meanwhile.
    const now = banner.getByRole("button", { name: "Try now" });
    await now.evaluateAll(([button]) => (button as HTMLElement | undefined)?.click());
    await banner.waitFor({ state: "detached" });
    await page.context().close();
  });

  test("messages that cannot be read after a break are said to be out of date, until they are read", async () => {
    const { page } = await explorerOf().openSignedIn("/", { viewport: VIEWPORT });
    const sockets: WebSocketRoute[] = [];
    await page.routeWebSocket(/\/ws\?/, (socket) => {
      socket.connectToServer();
      sockets.push(socket);
    });
    const isMessages = /\/messages(?:\?|$)/;
    await page.goto(`${explorerOf().up.url}/sessions/${LONG_SESSION}`);
    await page
      .getByText(`Answer ${MESSAGES - 1}, with emphasis and code.`)
      .first()
      .waitFor();
    await expect.poll(() => sockets.length).toBeGreaterThan(0);
    await page.route(isMessages, (route) =>
      route.fulfill({ status: 503, json: { type: "urn:valet:problem:x", title: "No answer today", status: 503 } }),
    );
    const banner = page.getByRole("complementary", { name: "Connection" });
    const breakOff = async () => {
      await Promise.all(sockets.splice(0).map((socket) => socket.close()));
      return banner.getByText("Something here may be out of date. No answer today.").count();
    };
    await expect.poll(breakOff).toBe(1);
    await page.unroute(isMessages);
    await banner.waitFor({ state: "detached" });
    await page.context().close();
  });

  test("a sign-out in another tab signs this one out, too", async () => {
    const page = await open(`/sessions/${LONG_SESSION}`);
    await page.getByRole("heading", { level: 1, name: "A long life" }).waitFor();
    const other = await page.context().newPage();
    await other.goto(explorerOf().up.url);
    await other.getByRole("heading", { level: 1, name: "Inbox" }).waitFor({ state: "attached" });
    await chooseInPalette(other, "Sign out", "Sign out");
    await other.getByRole("heading", { name: "Sign in to Valet" }).waitFor();
    await page.getByRole("heading", { name: "Sign in to Valet" }).waitFor();
    expect(await page.getByText("A long life").count()).toBe(0);
    await page.context().close();
  });

  test("a session that somebody else deletes says so on each of its pages", async () => {
    const explorer = explorerOf();
    const session = { id: GONE_SESSION, ownerId: OWNER, title: "Soon gone", messages: [], frames: [] };
    await explorer.seed({ sessions: [session] });
    const pages = await Promise.all(
      ["", "/traces", "/why", "/changes"].map((path) => open(`/sessions/${GONE_SESSION}${path}`)),
    );
    const each = (show: (page: Page) => Promise<unknown>) => Promise.all(pages.map(show));
    await each((page) => page.getByRole("heading", { level: 1, name: "Soon gone" }).waitFor());
    await explorer.up.api.deleteSession(GONE_SESSION);
    await each((page) => page.getByRole("heading", { name: "This session was deleted" }).waitFor());
    await each((page) => page.close());
  });
}
