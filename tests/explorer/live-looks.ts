/** A page that lives: while an answer streams, axe finds nothing in it, nor in what opens over it. */
import type { Page } from "playwright-core";
import { afterAll, beforeAll, test } from "vitest";
import { checkLooks, checkStill } from "./axe-checks.ts";
import type { Work } from "./work.ts";

/** One on each side of the break. */
const WIDTHS = [1440, 320];

/** @param workOf has the system in which a session streams */
export function liveLooks(workOf: () => Work): void {
  let page: Page;
  let sessionId: string;
  beforeAll(async () => {
    sessionId = await workOf().begin("Streams", "stream", ({ status }) => status === "running");
    const options = { bypassCSP: true };
    ({ page } = await workOf().explorer.openSignedIn(`/sessions/${sessionId}`, options));
    await page.getByText(/One word and One word/).waitFor();
    return () => page.context().close();
  }, 180_000);
  afterAll(() => workOf().explorer.up.api.deleteSession(sessionId));

  const menu = () => page.getByRole("button", { name: "More to do with the session" }).click();
  const shows: readonly [what: string, role: "menu" | "dialog", open: () => Promise<unknown>][] = [
    ["an open menu", "menu", menu],
    ["an open palette", "dialog", () => page.keyboard.press("Control+K")],
    [
      "an open dialog",
      "dialog",
      async () => {
        await menu();
        await page.getByRole("menuitem", { name: "Terminate…" }).click();
      },
    ],
  ];

  test("an answer that streams", async () => {
    await checkLooks(page, WIDTHS);
    await checkStill(page);
  });

  test.each(shows)("%s over it", async (_what, role, open) => {
    await page.setViewportSize({ width: 1440, height: 900 });
    await open();
    await page.getByRole(role).waitFor();
    await checkLooks(page, WIDTHS);
    await page.keyboard.press("Escape");
    await page.getByRole(role).waitFor({ state: "detached" });
  });

  test("the trace of it, which grows", async () => {
    await page.getByRole("navigation", { name: "Session" }).getByRole("link", { name: "Trace", exact: true }).click();
    await page.getByRole("link", { name: /\/messages/ }).click();
    await page.getByRole("treegrid", { name: "Spans" }).getByText("valet.turn").waitFor();
    await checkLooks(page, WIDTHS);
    await checkStill(page);
  });
}
