/** The timeline of a session in a real browser, on a session that has run: by keyboard alone, by pointer, by a link, and live. */
import type { Page } from "playwright-core";
import { beforeAll, expect, test } from "vitest";
import { waitForMessage } from "../../packages/cli/src/wait.ts";
import type { Explorer } from "./page.ts";

/** @param explorerOf has the scripted model of `session.test.ts` */
export function timelineJourneys(explorerOf: () => Explorer): void {
  let explorer: Explorer;
  let page: Page;
  let sessionId: string;
  let messageId: string;
  beforeAll(async () => {
    explorer = explorerOf();
    const { api } = explorer.up;
    ({ id: sessionId } = await api.createSession({ title: "Timeline" }));
    messageId = await converse("main");
    ({ page } = await explorer.openSignedIn(`/sessions/${sessionId}`, { viewport: { width: 1440, height: 900 } }));
    return () => page.context().close();
  }, 90_000);

  /** Sends a message, and returns its id when it has ended. */
  async function converse(channel: string): Promise<string> {
    const { api } = explorer.up;
    const { messageId: id } = await api.sendMessage(sessionId, { content: "[work]", channel });
    await waitForMessage(api, sessionId, id, () => {}, 60_000);
    return id;
  }

  const lane = (name: string) => page.getByRole("listbox", { name });
  /**
   * Goes on from item to item of the lane that has the focus, until one is reached. From the last one it begins again: the items before
   * may have come meanwhile.
   */
  const stepTo = async (name: string, what: string) => {
    const option = lane(name).getByRole("option");
    for (let before: string | null = null; ; ) {
      const now = await option.textContent();
      if (now?.includes(what)) return option;
      await page.keyboard.press(now === before ? "Home" : "ArrowRight");
      before = now;
    }
  };
  /** Resolves when a lane has more than its turn: the spans come when they can be seen. */
  const hasSpans = async (name: string) => {
    await expect.poll(() => lane(name).getAttribute("aria-label")).not.toContain(": 1 item");
  };
  const search = () => Object.fromEntries(new URL(page.url()).searchParams);

  test("lanes show what happened, and the keyboard alone selects a tool call", async () => {
    await lane("Lifecycle").waitFor();
    await lane("# main, 1 turn").focus();
    await expect.poll(() => lane("# main, 1 turn").getByRole("option").textContent()).toContain("turn 1");
    await hasSpans("# main, 1 turn");
    const option = await stepTo("# main, 1 turn", "tool bash");
    await page.keyboard.press("Enter");
    await expect
      .poll(() => search())
      .toMatchObject({ message: messageId, span: expect.stringMatching(/^[0-9a-f]{16}$/) });
    const panel = page.getByRole("region", { name: "Selected" });
    await panel.getByRole("heading", { name: "bash" }).waitFor();
    expect(await option.getAttribute("aria-selected")).toBe("true");
    // A second time takes it back.
    await page.keyboard.press("Enter");
    await expect.poll(() => search()).toEqual({});
  });

  test("a link selects, and it zooms by buttons and keys; the whole session is one step away", async () => {
    await page.goto(`${explorer.up.url}/sessions/${sessionId}?message=${messageId}`);
    const panel = page.getByRole("region", { name: "Selected" });
    await panel.getByText(messageId).waitFor();
    const whole = page.getByRole("button", { name: "Whole session" });
    const isWhole = () => whole.getAttribute("aria-pressed");
    await panel.getByRole("button", { name: "Zoom to it" }).click();
    await expect.poll(isWhole).toBe("false");
    await whole.click();
    await expect.poll(isWhole).toBe("true");
    await page.keyboard.press("+");
    await expect.poll(isWhole).toBe("false");
    // What the session did meanwhile makes the whole longer than it was.
    const zoomOut = async () => {
      await page.keyboard.press("-");
      return isWhole();
    };
    await expect.poll(zoomOut).toBe("true");
    const follow = page.getByRole("button", { name: "Follow" });
    expect(await follow.getAttribute("aria-pressed")).toBe("false");
    await page.keyboard.press("f");
    await expect.poll(() => follow.getAttribute("aria-pressed")).toBe("true");
  });

  test("tokens and money stand at each model call, and a call says its own", async () => {
    await page
      .getByRole("img", { name: "Input tokens of each model call: 2 calls; the largest is 8,400", exact: true })
      .waitFor();
    const main = lane("# main, 1 turn");
    await main.focus();
    await page.keyboard.press("Home");
    await stepTo("# main, 1 turn", "model");
    await page.keyboard.press("Enter");
    const panel = page.getByRole("region", { name: "Selected" });
    await panel.getByText("tokens of this call").waitFor();
    await panel.getByText("8,200 in · 8,000 cached").waitFor();
  });

  test("whoever comes back finds what they had zoomed to", async () => {
    await page.keyboard.press("+");
    const whole = page.getByRole("button", { name: "Whole session" });
    await expect.poll(() => whole.getAttribute("aria-pressed")).toBe("false");
    await page.getByRole("navigation", { name: "Session" }).getByRole("link", { name: "Trace" }).click();
    await page.waitForURL((url) => url.pathname.includes("/traces/"));
    await page.goBack();
    await expect.poll(() => whole.getAttribute("aria-pressed")).toBe("false");
    await whole.click();
  });

  test("the wheel zooms, a drag moves, and Follow ends where somebody looks at something else", async () => {
    const bars = lane("# main, 1 turn");
    // Once it stands still: what is above it comes after the page.
    await bars.hover();
    await page.mouse.wheel(0, -300);
    const whole = page.getByRole("button", { name: "Whole session" });
    await expect.poll(() => whole.getAttribute("aria-pressed")).toBe("false");
    const ticks = () => page.locator(".tl-axis").textContent();
    const before = await ticks();
    const box = await bars.boundingBox();
    if (box === null) throw new Error("the lane is not shown");
    await bars.hover();
    await page.mouse.down();
    await page.mouse.move(box.x + box.width / 2 - 250, box.y + box.height / 2, { steps: 4 });
    await page.mouse.up();
    await expect.poll(ticks).not.toBe(before);
    const follow = page.getByRole("button", { name: "Follow" });
    await expect.poll(() => follow.getAttribute("aria-pressed")).toBe("false");
    await whole.click();
  });

  test("a turn on another channel shows up while the page is open", async () => {
    await converse("review");
    await lane("# review, 1 turn").waitFor();
    await hasSpans("# review, 1 turn");
    await page.getByRole("button", { name: "# review 1 turn" }).click();
    await expect.poll(() => search()).toMatchObject({ channel: "review" });
  });

  test("a pointer selects a bar, and the keys go on from lane to lane, to what is next in time", async () => {
    const at = (name: string) => lane(name).getByRole("option").textContent();
    const focused = () => page.evaluate(() => document.activeElement?.getAttribute("data-lane-list"));
    await lane("# review, 1 turn").focus();
    await page.keyboard.press("End");
    const last = await at("# review, 1 turn");
    await page.keyboard.press("ArrowUp");
    await expect.poll(focused).toBe("channel main");
    // The newest item of the other channel is the nearest in time, and not the first in view.
    await page.keyboard.press("End");
    const newest = await at("# main, 1 turn");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("End");
    expect(await at("# review, 1 turn")).toBe(last);
    await page.keyboard.press("ArrowUp");
    await expect.poll(() => at("# main, 1 turn")).toBe(newest);
    const box = await lane("# main, 1 turn").boundingBox();
    if (box === null) throw new Error("the lane is not shown");
    // The thin bar of the turn reaches from its start to its end.
    const ring = await page.locator('[data-lane="channel main"] .tl-ring').boundingBox();
    if (ring === null) throw new Error("nothing is active");
    await page.mouse.click(ring.x + ring.width / 2, ring.y + ring.height / 2);
    await expect.poll(() => search()).toMatchObject({ message: messageId });
  });
}
