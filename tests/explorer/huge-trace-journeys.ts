/** A trace of 50,000 spans from the store: rows appear, and its end is a key and a search away. */
import { expect, test } from "vitest";
import { OWNER, type SeededExplorer } from "./seeded.ts";

const SESSION = "ses_huge0000000000000000000000";
const SPANS = 50_000;
const DAY_MS = 86_400_000;

export function hugeTraceJourneys(explorerOf: () => SeededExplorer): void {
  test("a trace of 50,000 spans shows the rows near the window; End and a search lead to the last one", async () => {
    const explorer = explorerOf();
    const trace = { spans: SPANS, startMs: Date.now() - DAY_MS };
    await explorer.seed({
      sessions: [{ id: SESSION, ownerId: OWNER, title: "A huge trace", messages: [], frames: [], trace }],
    });
    const { page } = await explorer.openSignedIn(`/sessions/${SESSION}/traces`, {
      viewport: { width: 1440, height: 900 },
    });
    await page.getByRole("link", { name: /valet\.prompt/ }).click();
    const tree = page.getByRole("treegrid", { name: "Spans" });
    await tree.getByRole("row").nth(10).waitFor();
    await expect.poll(() => tree.getAttribute("aria-rowcount")).toBe(`${SPANS + 1}`);
    expect(await tree.getByRole("row").count()).toBeLessThan(80);
    const active = tree.locator('[role="row"][aria-selected="true"]');
    await active.focus();
    await page.keyboard.press("End");
    await expect.poll(() => active.getAttribute("aria-rowindex")).toBe(`${SPANS + 1}`);
    // What only the last one has.
    const id = page.getByRole("row", { name: /^gen_ai\.tool\.call\.id/ }).getByRole("cell");
    const wanted = (await id.first().textContent()) ?? "";
    expect(wanted).toMatch(/^toolu_\d+_\d+$/);
    await page.keyboard.press("Home");
    await expect.poll(() => active.getAttribute("aria-rowindex")).toBe("2");
    await page.keyboard.press("/");
    await page.keyboard.type(wanted);
    await page.getByText(/ of 1$/).waitFor();
    await page.keyboard.press("Enter");
    await expect.poll(() => active.getAttribute("aria-rowindex")).toBe(`${SPANS + 1}`);
    await page.close();
  });
}
