/** The pages Why and Changes on real work: a turn that edits, one that makes a long diff, one whose model refuses. */
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { BIG_LINES, HOSTILE, startWork, type Work } from "./work.ts";

let work: Work;
let page: Page;
beforeAll(async () => {
  work = await startWork();
  ({ page } = await work.explorer.openSignedIn());
}, 180_000);
afterAll(() => work?.close());

const open = (path: string) => page.goto(`${work.explorer.up.url}/sessions/${work.sessionId}${path}`);

test("why says where the time went; the tenths of the parts add up to the whole, and a span leads to its trace", async () => {
  await open(`/messages/${work.messages.edit}/why`);
  const table = page.getByRole("table", { name: "Where the time went, largest first" });
  await table.getByRole("row").nth(2).waitFor();
  const times = await table.locator("tbody tr td:nth-child(3)").allTextContents();
  const tenths = times.map((text) => (text.startsWith("<") ? 0 : Math.round(Number.parseFloat(text) * 10)));
  const [whole, ...parts] = tenths;
  expect(parts.reduce((sum, each) => sum + each, 0)).toBe(whole);
  expect(
    await page.getByRole("region", { name: "Where the time went, in order" }).getByRole("listitem").count(),
  ).toBeGreaterThan(3);

  const unfold = table.getByRole("button", { name: "Unfold: in the tool `bash`" });
  await unfold.focus();
  await page.keyboard.press("ArrowRight");
  expect(await unfold.getAttribute("aria-expanded")).toBe("true");
  await table.getByRole("link", { name: /^span/ }).first().click();
  await page.waitForURL(/\/traces\/[0-9a-f]{32}\?span=/);
});

test("the tab leads to the newest message; another one is chosen from the list", async () => {
  await open("/why");
  await page.getByRole("heading", { name: "First cause of the failure" }).waitFor();
  await page.getByText("provider_auth_failed").first().waitFor();
  await page.getByRole("button", { name: "Another message" }).click();
  await page.getByRole("menuitemcheckbox", { name: /\[edit\]/ }).click();
  await page.waitForURL(`**/messages/${work.messages.edit}/why`);
});

test("a file that a tool wrote leads to the call; what a command wrote says that this cannot be known; names are text", async () => {
  const { edit } = work.messages;
  await open(`/changes?from=${edit}&to=${edit}&file=src%2Fhello.ts`);
  await page.getByText("export const hello = 1;").first().waitFor();
  await page.getByText("Written by").waitFor();
  await page.getByRole("button", { name: "modified file.txt" }).click();
  await page.getByText("Which call wrote it cannot be known").waitFor();
  await page.getByText("a change <b>of</b> hostile names").waitFor();
  const hostile = page.getByRole("button", { name: HOSTILE.slice(0, 20) });
  await hostile.click();
  expect(await page.locator("main img, main b b").count()).toBe(0);
  await page.getByRole("link", { name: "write src/hello.ts" }).click();
  await page.waitForURL(/\/traces\/[0-9a-f]{32}\?span=/);
});

test("of a diff of 5,000 lines only the rows near the window exist; a file over a megabyte is there by its name", async () => {
  await open("/changes?file=big.txt");
  await page.getByText("only its name is known").waitFor();
  await page.locator(".diff-line").first().waitFor();
  expect(await page.locator(".diff-line").count()).toBeLessThan(BIG_LINES / 5);
  const last = page.locator(".diff-code", { hasText: /^5000$/ });
  await expect
    .poll(async () => {
      await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
      return (await page.locator(".diff-code").allTextContents()).includes(`${BIG_LINES}`) || (await last.count()) > 0;
    })
    .toBe(true);
});

test("nothing ran that should not, and no request left the page", () => {
  expect(work.explorer.misdeeds()).toEqual({ policy: [], errors: [], foreign: [] });
});
