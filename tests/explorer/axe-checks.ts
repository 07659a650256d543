/** What axe finds on a page, in both themes and at all widths, and whether the page keeps within its window. */
import axe from "axe-core";
import type { Page } from "playwright-core";
import { expect } from "vitest";

/** WCAG 2.2 AA, and what is good practice. */
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
/** What depends on colours: nothing else differs from theme to theme. */
const OF_COLOURS = ["color-contrast", "link-in-text-block"];
const HEIGHT = 900;

/** From a large screen to 400 % of a small one, CSS px. */
export const WIDTHS = [3840, 1440, 992, 390, 320] as const;

/** Of a usual screen, and of a small one. */
const TEXT_ZOOM_WIDTHS = [1440, 1024] as const;

/** Resolves when the page has what it shows: it has a heading, and nothing loads. */
export async function settle(page: Page): Promise<void> {
  await page.locator("h1").first().waitFor({ state: "attached" });
  await page.waitForFunction(() => document.querySelector('[aria-busy="true"], .sk') === null);
}

/** Returns what axe finds, a line for each element. */
async function faults(page: Page, theme: "light" | "dark"): Promise<string[]> {
  await page.emulateMedia({ colorScheme: theme });
  await page.locator(`:root[data-theme="${theme}"]`).waitFor();
  const isLoaded = await page.evaluate(() => "axe" in window);
  if (!isLoaded) await page.evaluate(axe.source);
  const runOnly = theme === "light" ? { type: "tag", values: TAGS } : { type: "rule", values: OF_COLOURS };
  return page.evaluate(async (runOnly) => {
    const { axe } = window as unknown as { axe: typeof import("axe-core") };
    const { violations } = await axe.run(document, { runOnly, resultTypes: ["violations"] });
    return violations.flatMap(({ id, nodes }) =>
      nodes
        // A menu or a tooltip over the page belongs to its button, and to no landmark.
        .filter(({ target }) => id !== "region" || !target.join(" ").includes("data-radix-popper-content-wrapper"))
        .map(({ target, failureSummary }) => `${id}: ${target.join(" ")}: ${failureSummary}`),
    );
  }, runOnly as axe.RunOnly);
}

/** Checks what is shown. @param page with `bypassCSP`: the policy of the page has no room for axe */
export async function checkLooks(page: Page, widths: readonly number[] = WIDTHS): Promise<void> {
  const tightest = tightestOf(widths, await page.evaluate(breaks));
  for (const width of widths) {
    await page.setViewportSize({ width, height: HEIGHT });
    if (tightest.includes(width)) {
      for (const theme of ["light", "dark"] as const) {
        expect(await faults(page, theme), `${theme}, ${width} px`).toEqual([]);
      }
    }
    await checkWidth(page, width);
  }
}

/** Returns the least width of each layout: a page is laid out in the same way between two breaks, and axe finds the same. */
function tightestOf(widths: readonly number[], breaks: readonly number[]): number[] {
  expect(breaks, "the widths at which this page changes its layout").not.toEqual([]);
  const layouts = Map.groupBy(widths, (width) => breaks.filter((each) => width < each).length);
  return [...layouts.values()].map((each) => Math.min(...each));
}

/** Returns the widths in CSS px below which the style sheets of the page have other rules. */
function breaks(): number[] {
  const found = new Set<number>();
  const read = (rules: CSSRuleList): void => {
    for (const rule of rules) {
      const condition = rule instanceof CSSConditionRule ? rule.conditionText : "";
      if (condition.includes("width")) {
        for (const [, count, unit] of condition.matchAll(/([\d.]+)(rem|em|px)/g)) {
          found.add(Number(count) * (unit === "px" ? 1 : 16));
        }
      }
      if (rule instanceof CSSGroupingRule) read(rule.cssRules);
    }
  };
  for (const sheet of document.styleSheets) read(sheet.cssRules);
  return [...found];
}

async function checkWidth(page: Page, width: number): Promise<void> {
  // What is drawn on canvases has its new width a frame later.
  const wide = () => page.evaluate(() => document.documentElement.scrollWidth);
  await expect.poll(wide, { message: `the width of the page at ${width} px` }).toBeLessThanOrEqual(width);
}

/** Checks that text of twice the size still fits, and that a person's own colours leave everything visible. */
export async function checkWishes(page: Page): Promise<void> {
  // A window of 1280 px whose text has twice the size.
  await page.setViewportSize({ width: 640, height: HEIGHT / 2 });
  await checkWidth(page, 640);
  await nothing(page, cutText, "text of twice the size that is cut");
  await checkTextZoom(page);
  await page.setViewportSize({ width: 1280, height: HEIGHT });
  await page.emulateMedia({ forcedColors: "active" });
  await nothing(page, vanished, "what nobody sees in their own colours");
  await checkWidth(page, 1280);
  await page.emulateMedia({ forcedColors: null });
  await checkStill(page);
}

/** Checks that text alone of twice the size fits, while everything else stays: WCAG 1.4.4. */
async function checkTextZoom(page: Page): Promise<void> {
  const style = await page.addStyleTag({ content: ":root { font-size: 200%; }" });
  for (const width of TEXT_ZOOM_WIDTHS) {
    await page.setViewportSize({ width, height: HEIGHT });
    await nothing(page, beyondWindow, `text of twice the size that leaves a window of ${width} px`);
    await checkWidth(page, width);
    await nothing(page, cutText, `text of twice the size that is cut at ${width} px`);
  }
  await style.evaluate((element) => (element as HTMLElement).remove());
}

/** Checks that nothing moves on a page whose reader wishes less motion. */
export async function checkStill(page: Page): Promise<void> {
  await nothing(page, moving, "what moves");
}

/** Waits until a look at the page finds nothing: rows and canvases have their new sizes, and styles their colours, a frame later. */
async function nothing(page: Page, look: () => string[], what: string): Promise<void> {
  await expect.poll(() => page.evaluate(look), { message: what }).toEqual([]);
}

/** Elements that make the page wider than its window: the innermost ones. */
function beyondWindow(): string[] {
  const { clientWidth, scrollWidth } = document.documentElement;
  if (scrollWidth <= clientWidth) return [];
  const wide = [...document.querySelectorAll("body *")].filter((element) => {
    const { right, width } = element.getBoundingClientRect();
    return width > 0 && right > clientWidth + 1;
  });
  return wide
    .filter((element) => !wide.some((other) => other !== element && element.contains(other)))
    .map(({ outerHTML }) => outerHTML.slice(0, 120))
    .slice(0, 5);
}

/** Lines of text of which the lower part is hidden. */
function cutText(): string[] {
  const hasText = ({ childNodes }: Element) =>
    [...childNodes].some(({ nodeType, textContent }) => nodeType === Node.TEXT_NODE && textContent?.trim() !== "");
  return [...document.querySelectorAll<HTMLElement>("main *, header *")]
    .filter((element) => hasText(element) && element.closest(".sr, svg") === null && element.clientHeight > 2)
    .filter(
      (element) => getComputedStyle(element).overflowY !== "visible" && getComputedStyle(element).overflowY !== "auto",
    )
    .filter(({ scrollHeight, clientHeight }) => scrollHeight > clientHeight + 4)
    .map((element) => `${element.className}: ${element.textContent?.slice(0, 40)}`);
}

/** Bars that have the colour of the page, and no line around them. */
function vanished(): string[] {
  const canvas = getComputedStyle(document.body).backgroundColor;
  return [...document.querySelectorAll(".bar, .live, .span-mark > i")]
    .filter((bar) => {
      const style = getComputedStyle(bar, bar.matches(".live") ? "::before" : null);
      const hasFill = style.backgroundColor !== canvas && style.backgroundColor !== "rgba(0, 0, 0, 0)";
      const hasLine = style.boxShadow !== "none" || style.borderTopStyle !== "none" || style.backgroundImage !== "none";
      return !hasFill && !hasLine;
    })
    .map((bar) => `${bar.className}: ${bar.outerHTML.slice(0, 100)}`);
}

function moving(): string[] {
  return document
    .getAnimations()
    .filter(({ playState }) => playState === "running")
    .map(({ effect }) => (effect as KeyframeEffect).target?.outerHTML.slice(0, 100) ?? "?");
}
