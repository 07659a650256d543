/** The waterfall of a trace that only a faulty or hostile sandbox would send, in a real browser: by mouse, and by keyboard alone. */
import type { Locator, Page } from "playwright-core";
import { beforeAll, describe, expect, test } from "vitest";
import { framesOf, hostileTraces, MARKUP, RESTORE, TRACE } from "./hostile-trace.ts";
import { OWNER, type SeededExplorer } from "./seeded.ts";

const SESSION = "ses_hostiletrace00000000000000";

/** @param explorerOf has no other journey before that opens the session */
export function traceJourneys(explorerOf: () => SeededExplorer): void {
  let page: Page;
  let tree: Locator;
  let address: string;
  const { main, restore } = hostileTraces(Date.now() - 100_000);

  beforeAll(async () => {
    const explorer = explorerOf();
    const frames = [...framesOf(main, TRACE, SESSION), ...framesOf(restore, RESTORE, SESSION)];
    await explorer.seed({
      sessions: [{ id: SESSION, ownerId: OWNER, title: "A hostile trace", messages: [], frames }],
    });
    address = `${explorer.up.url}/sessions/${SESSION}/traces/${TRACE}`;
    ({ page } = await explorer.openSignedIn("/", { viewport: { width: 1440, height: 900 } }));
    await page.goto(address);
    tree = page.getByRole("treegrid", { name: "Spans" });
    await tree.waitFor();
    return () => page.context().close();
  });

  const row = (text: string | RegExp) => tree.getByRole("row").filter({ hasText: text });
  const active = () => tree.locator('[role="row"][aria-selected="true"]');
  const rowCount = async () => Number(await tree.getAttribute("aria-rowcount"));

  describe("by mouse", () => {
    test("each span has a row, of which only those on the screen exist", async () => {
      await expect.poll(rowCount).toBe(main.length + 1);
      expect(await tree.getByRole("row").count()).toBeLessThan(80);
    });

    test("a link opens in place, as rows one level deeper, and is closed again", async () => {
      const owner = row("valet.queue.wait");
      const level = Number(await owner.getAttribute("aria-level"));
      await owner.locator("[data-ties]").click();
      const opened = row(/^valet\.sandbox\.restore/);
      await opened.waitFor();
      expect(Number(await opened.getAttribute("aria-level"))).toBe(level + 2);
      await expect.poll(rowCount).toBe(main.length + 1 + 1 + restore.length);
      await row(RESTORE.slice(0, 8)).getByRole("button", { name: "Close the linked trace" }).click();
      await expect.poll(rowCount).toBe(main.length + 1);
    });

    test("what the session can account for stands below the trace: as it is, and as what is missing would be said", async () => {
      const { state, sentence } = await page.evaluate(async (path) => {
        const answer = await fetch(path);
        return (await answer.json()) as { state: string; sentence: string };
      }, `/api/sessions/${SESSION}/traces/${TRACE}/certificate`);
      const foot = page.locator(".wf-foot");
      await foot.getByText(sentence.replace(/\.$/, "")).waitFor();
      expect(state).not.toBe("complete");
      await page.route("**/certificate", async (route) => {
        const answer = await (await route.fetch()).json();
        await route.fulfill({ json: { ...answer, state: "incomplete", sentence: `3 spans are lost ${MARKUP}.` } });
      });
      await page.reload();
      await foot.getByText(`incomplete: 3 spans are lost ${MARKUP}`).waitFor();
      await page.unroute("**/certificate");
      await page.reload();
      await tree.waitFor();
    });

    test("a sealed span says why, one that begins too early by how much", async () => {
      await row("begins 40.0 ms before its parent").or(row("begins 40 ms before its parent")).waitFor();
      await row(/execute_tool bash.*sealed: /).waitFor();
    });

    test("a range that is dragged on the axis fills it, and one button shows everything again", async () => {
      const axis = tree.locator(".wf-axis");
      const ticks = () => axis.textContent();
      const before = await ticks();
      // Once it stands still: what is above it comes after the page.
      await axis.hover();
      const box = await axis.boundingBox();
      if (box === null) throw new Error("there is no axis");
      await page.mouse.move(box.x + box.width * 0.1, box.y + 10);
      await page.mouse.down();
      await page.mouse.move(box.x + box.width * 0.2, box.y + 10, { steps: 3 });
      await page.mouse.up();
      await expect.poll(ticks).not.toBe(before);
      await page.getByRole("button", { name: "All", exact: true }).click();
      await expect.poll(async () => (await ticks())?.startsWith("0")).toBe(true);
    });
  });

  describe("by keyboard alone", () => {
    test("the rows are reached, folded and unfolded, and the URL follows", async () => {
      await tree.focus();
      await page.keyboard.press("Home");
      await expect.poll(() => active().textContent()).toContain("POST");
      await page.keyboard.press("ArrowLeft");
      await expect.poll(rowCount).toBeLessThan(main.length + 1);
      await page.keyboard.press("ArrowRight");
      await expect.poll(rowCount).toBe(main.length + 1);
      await page.keyboard.press("End");
      await expect.poll(() => active().textContent()).toContain("links to itself");
      await page.waitForURL(/span=[0-9a-f]{16}/);
    });

    test("a search finds attributes, N goes on, and E finds the errors", async () => {
      await page.keyboard.press("/");
      await page.keyboard.type("call_119");
      await page.getByText(/ of 1$/).waitFor();
      await page.keyboard.press("Enter");
      await expect.poll(() => active().textContent()).toContain("execute_tool grep");
      await page.waitForURL(/q=call_119/);
      await tree.focus();
      await page.keyboard.press("Home");
      await page.keyboard.press("e");
      await expect.poll(() => active().textContent()).toContain("execute_tool bash");
      await page.keyboard.press("e");
      await expect.poll(() => active().textContent()).toContain("tool_failed");
      await page.keyboard.press("n");
      await expect.poll(() => active().textContent()).toMatch(/execute_tool grep(?!.*tool_failed)/);
    });

    test("a link is opened by L, and what is in it is reached", async () => {
      await page.keyboard.press("Home");
      for (let at = 0; at < 2; at++) await page.keyboard.press("ArrowDown");
      await expect.poll(() => active().textContent()).toContain("valet.queue.wait");
      await page.keyboard.press("l");
      await row(/^valet\.sandbox\.restore/).waitFor();
      await page.keyboard.press("ArrowDown");
      await page.keyboard.press("ArrowDown");
      await expect.poll(() => active().textContent()).toContain("valet.sandbox.restore");
      await page.getByRole("complementary").getByRole("heading", { name: "valet.sandbox.restore" }).waitFor();
      await page.keyboard.press("ArrowUp");
      await page.keyboard.press("l");
      await expect.poll(rowCount).toBe(main.length + 1);
    });
  });

  test("the address opens the same view", async () => {
    const orphan = main.find(({ name }) => name === MARKUP);
    await page.goto(`${address}?span=${orphan?.spanId}`);
    await active().filter({ hasText: MARKUP }).waitFor();
    // What a sandbox calls its spans and attributes is text.
    const panel = page.getByRole("complementary");
    await panel.getByRole("heading", { name: MARKUP }).waitFor();
    await panel.getByText("parent dead0000… is missing").waitFor();
    expect(await page.locator("img").count()).toBe(0);
    await row(/in a circle|and back/)
      .filter({ hasText: "its parents form a cycle" })
      .waitFor();
    await row("names itself as its parent").waitFor();
  });

  test("a link to a span that the trace does not have says so, and the rows are reached all the same", async () => {
    await page.goto(`${address}?span=dead00000000beef`);
    const messages = page.getByRole("region", { name: "Messages" });
    await messages.getByText("The trace has no span with the id of this link.").waitFor();
    expect(await active().count()).toBe(0);
    await tree.focus();
    await page.keyboard.press("ArrowDown");
    await active().waitFor();
    await page.goto(address);
    await active().waitFor();
    expect(await messages.getByRole("button").count()).toBe(0);
  });

  test("the trace is linked to the configured backend, and the list leads to it", async () => {
    const link = page.getByRole("link", { name: "Open in Jaeger" });
    expect(await link.getAttribute("href")).toBe(`https://jaeger.example/trace/${TRACE}`);
    await page.getByRole("navigation", { name: "Session" }).getByRole("link", { name: "Trace" }).click();
    // As the trace itself and `valet trace` count: open spans are spans, and an open trace has no duration.
    const open = main.filter(({ endUs }) => endUs === undefined).length;
    const entry = page.getByRole("link").filter({ hasText: TRACE.slice(0, 8) });
    expect(await entry.textContent()).toMatch(new RegExp(`${open}\\s+open[^]*${main.length}\\s+spans\\s*open$`));
    await page.getByRole("link", { name: /valet\.sandbox\.restore/ }).click();
    await row("valet.sandbox.copy").waitFor();
    // The link from the other trace is known here, too.
    await row(/^valet\.sandbox\.restore/)
      .locator("[data-ties]")
      .click();
    await row("valet.queue.wait").waitFor();
  });
}
