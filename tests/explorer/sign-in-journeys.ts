/** Signing in to the page, in a real browser: by a link, once; and what nobody else gets by it. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Page } from "playwright-core";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { runCli } from "../valet-up.ts";
import { LONG_SESSION } from "./large-seeds.ts";
import { type Explorer, signIn } from "./page.ts";

const CHANGE = { "content-type": "application/json", "x-valet-csrf": "1" };

/** Sends a request from the page itself, with its cookie. @returns the status */
function send(
  page: Page,
  method: string,
  path: string,
  headers: Record<string, string> = CHANGE,
  body: string | null = null,
): Promise<number> {
  return page.evaluate(async ([method, path, headers, body]) => (await fetch(path, { method, headers, body })).status, [
    method,
    path,
    headers,
    body,
  ] as const);
}

/** @param explorerOf has the large seed. After these journeys nobody signs in for a while: too many attempts have failed. */
export function signInJourneys(explorerOf: () => Explorer): void {
  let explorer: Explorer;
  /** The browser that the link of `valet open` signs in, and another one, which is not signed in. */
  let page: Page;
  let other: Page;
  let link: string;
  beforeAll(async () => {
    explorer = explorerOf();
    const { stdout } = await runCli(["--url", explorer.up.url, "--token", explorer.up.token, "open"]);
    [link = ""] = /http:\S+/.exec(stdout) ?? [];
    ({ page } = await explorer.open());
    ({ page: other } = await explorer.open());
    await signIn(page, link);
    return () => page.context().close();
  });

  describe("a sign-in link", () => {
    test("of `valet open` shows the inbox, and leaves no ticket in the address", async () => {
      expect(link).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/sign-in#ticket=vlt_\w{52}$/);
      await page.waitForFunction(() => /(?:^|\s)Inbox · Valet$/.test(document.title));
      expect(page.url()).toBe(`${explorer.up.url}/`);
      await page.getByRole("heading", { level: 1, name: "Inbox" }).waitFor({ state: "attached" });
    });

    test("sets a cookie that no script reads, no other site sends, and that ends", async () => {
      const cookies = await page.context().cookies();
      const port = new URL(explorer.up.url).port;
      expect(cookies).toMatchObject([
        { name: `valet-${port}`, path: "/", domain: "127.0.0.1", httpOnly: true, sameSite: "Strict", secure: false },
      ]);
      const days = ((cookies[0]?.expires ?? 0) * 1000 - Date.now()) / 86_400_000;
      expect(days).toBeGreaterThan(13);
      expect(days).toBeLessThan(15);
      expect(await page.evaluate(() => document.cookie)).toBe("");
    });

    test.each<[string, () => string]>([
      ["was used", () => link],
      ["is guessed", () => `${explorer.up.url}/sign-in#ticket=vlt_guessed`],
    ])("that %s says so, and signs nobody in", async (_what, used) => {
      // A link that differs in its fragment alone would not load the page.
      await other.goto("about:blank");
      await other.goto(used());
      await other.getByText("This link did not sign you in.").waitFor();
      expect(await other.context().cookies()).toEqual([]);
      expect(await send(other, "GET", "/api/sessions", {})).toBe(401);
    });
  });

  describe("a signed-in browser", () => {
    test("changes something only with the header", async () => {
      const body = JSON.stringify({ sessionId: LONG_SESSION });
      expect(await send(page, "POST", "/api/tickets", { "content-type": "application/json" }, body)).toBe(403);
      expect(await send(page, "POST", "/api/tickets", CHANGE, body)).toBe(201);
    });

    test("opens a session's WebSocket", async () => {
      const type = await page.evaluate(
        (id) =>
          new Promise<string>((resolve) => {
            const socket = new WebSocket(`/api/sessions/${id}/ws`);
            socket.onmessage = ({ data }) => resolve(JSON.parse(data).type);
            socket.onclose = ({ code }) => resolve(`closed ${code}`);
          }),
        LONG_SESSION,
      );
      expect(type).not.toContain("closed");
    });

    test("sees nothing of a session that is not its owner's, by a deep link either", async () => {
      const path = `/sessions/ses_${"0".repeat(26)}`;
      const answer = page.waitForResponse((response) => response.url().includes(`/api${path}`));
      await page.goto(explorer.up.url + path);
      expect((await answer).status()).toBe(404);
    });
  });

  test("a browser without a cookie gets the sign-in at a deep link, and no data", async () => {
    await other.goto(`${explorer.up.url}/turns`);
    await other.getByRole("heading", { name: "Sign in to Valet" }).waitFor();
    expect(await send(other, "GET", "/api/sessions", {})).toBe(401);
  });

  describe("a page of another port of this machine, which is the same site to a browser", () => {
    test("changes nothing, reads nothing, and opens no WebSocket with the cookie", async () => {
      const foreign = createServer((_request, response) => {
        response.setHeader("content-type", "text/html").end("<title>foreign</title>");
      });
      await new Promise<void>((resolve) => foreign.listen(0, "127.0.0.1", resolve));
      onTestFinished(() => void foreign.close());
      // In the same browser profile, so that it has the cookie; not watched, since it does what no page of ours does.
      const intruder = await page.context().newPage();
      await intruder.goto(`http://127.0.0.1:${(foreign.address() as AddressInfo).port}/`);
      const before = (await explorer.up.api.sessions()).length;
      const seen: number[] = [];
      intruder.on("response", (response) => seen.push(response.status()));
      const results = await intruder.evaluate(async (origin) => {
        const attempt = (init: RequestInit) =>
          fetch(`${origin}/api/sessions`, { credentials: "include", ...init }).then(
            (response) => response.type,
            () => "refused",
          );
        const socket = new Promise((resolve) => {
          const opened = new WebSocket(`${origin.replace("http", "ws")}/api/sessions/ses_${"0".repeat(26)}/ws`);
          opened.onopen = () => resolve("open");
          opened.onerror = () => resolve("refused");
        });
        return [
          await attempt({}),
          await attempt({
            method: "POST",
            headers: { "content-type": "application/json", "x-valet-csrf": "1" },
            body: "{}",
          }),
          await attempt({ method: "POST", mode: "no-cors", body: "{}" }),
          await socket,
        ];
      }, explorer.up.url);
      expect(results).toEqual(["refused", "refused", "refused", "refused"]);
      expect(seen.filter((status) => status < 400)).toEqual([]);
      expect(await explorer.up.api.sessions()).toHaveLength(before);
    });
  });

  test("a browser that signed out has no cookie, and a copy of it opens nothing any more", async () => {
    const [cookie] = await page.context().cookies();
    const status = async () => {
      const headers = { cookie: `${cookie?.name}=${cookie?.value}` };
      return (await fetch(`${explorer.up.url}/api/sessions`, { headers })).status;
    };
    expect(await status()).toBe(200);
    expect(await send(page, "DELETE", "/api/page-sessions/current")).toBe(204);
    expect(await page.context().cookies()).toEqual([]);
    expect(await status()).toBe(401);
  });

  test("after too many attempts that failed, the page says when to try again", async () => {
    // The limit is of an address: the other tests have signed in by now.
    const guess = () =>
      other.evaluate(async (headers) => {
        const body = JSON.stringify({ ticket: "vlt_guessed" });
        return (await fetch("/api/page-sessions", { method: "POST", headers, body })).status;
      }, CHANGE);
    const said = other.getByText(/^This link did not sign you in\./);
    // The limit ends a minute after the first of the attempts that it counts: perhaps just before the page tries.
    const answer = async () => {
      await other.goto(`${explorer.up.url}/sign-in`);
      while ((await guess()) !== 429);
      await other.goto("about:blank");
      await other.goto(`${explorer.up.url}/sign-in#ticket=vlt_guessed`);
      await said.first().waitFor();
      return other.locator("main").textContent();
    };
    await expect
      .poll(answer)
      .toMatch(/Too many requests\. Too many attempts to sign in have failed\. Try again in \d+ s\./);
    await other.getByRole("button", { name: "Try again" }).click();
    await other.getByText(/Try again in \d+ s\./).waitFor();
  });
}
