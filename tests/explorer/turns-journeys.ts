/** The turns across sessions, in a real browser: filters and order in the URL, pages by cursor, the way to a turn. */
import type { Page } from "playwright-core";
import { beforeAll, describe, expect, test } from "vitest";
import { HOSTILE_PERSON, REPOSITORY, TURN_SESSION, traceOf } from "./large-seeds.ts";
import type { SeededExplorer } from "./seeded.ts";

/** Waits for a condition, also on a busy machine. */
const eventually = <T>(value: () => T) => expect.poll(value, { interval: 20 });

/** @param explorerOf has the large seed */
export function turnsJourneys(explorerOf: () => SeededExplorer): void {
  let page: Page;
  let origin: string;
  const asked: URL[] = [];
  const search = () => new URL(page.url()).searchParams;
  beforeAll(async () => {
    const explorer = explorerOf();
    origin = explorer.up.url;
    ({ page } = await explorer.openSignedIn());
    page.on("request", (request) => asked.push(new URL(request.url())));
    await page.getByRole("navigation", { name: "Main" }).getByRole("link", { name: "Turns" }).click();
    await page.getByRole("table", { name: "Turns" }).waitFor();
    return () => page.context().close();
  });

  describe("the table of turns", () => {
    test("says what is not known, what failed, and what is above the p90", async () => {
      const row = (index: number) =>
        page
          .getByRole("table", { name: "Turns" })
          .getByRole("row")
          .nth(index + 1);
      await page.getByText("250 turns · cost not known · 1 failed or lost").waitFor();
      await eventually(() => row(0).textContent()).toContain("above p90");
      expect(await row(0).textContent()).toContain("–");
      expect(await row(3).textContent()).toContain("runner_lost");
      expect(await row(1).textContent()).toContain(HOSTILE_PERSON.slice(0, -1));
    });

    test("is sorted by the API, and the URL says so", async () => {
      await page.getByRole("button", { name: "Wait", exact: true }).click();
      await page.getByText("Sorted: the turns that ended").waitFor();
      await eventually(() => search().get("sort")).toBe("wait");
      await eventually(() => asked.some((url) => url.searchParams.get("sort") === "wait")).toBe(true);
      const wait = page.getByRole("columnheader", { name: "Wait" });
      await eventually(() => wait.getAttribute("aria-sort")).toBe("descending");
    });

    test("has the rows near the window only, and reads on at its end", async () => {
      const table = page.getByRole("table", { name: "Turns" });
      const scrollOn = async () => {
        await page.keyboard.press("End");
        return table.getAttribute("aria-rowcount");
      };
      await eventually(scrollOn).toBe("251");
      expect(await table.getByRole("row").count()).toBeLessThan(80);
      await page.keyboard.press("Home");
    });
  });

  describe("filters and groups", () => {
    test("stand in the URL, and are asked of the API", async () => {
      await page.getByRole("button", { name: "Person" }).click();
      await page.getByRole("menuitemcheckbox", { name: /^mira/ }).click();
      await eventually(() => search().get("user")).toBe("mira");
      await eventually(() =>
        asked.some(({ pathname, searchParams }) => pathname === "/api/turns" && searchParams.get("user") === "mira"),
      ).toBe(true);
      // The page has it, too, and adds to it what is chosen next.
      await page.getByRole("button", { name: "Person: mira" }).waitFor();
    });

    test("a group's figures are a table, and its name leads to its turns", async () => {
      await page.getByRole("button", { name: "Group by: none" }).click();
      await page.getByRole("menuitemcheckbox", { name: "repository" }).click();
      const groups = page.getByRole("table", { name: "Duration of a turn by repository: percentiles" });
      await groups.waitFor();
      await eventually(() => groups.getByRole("row").nth(1).textContent()).toMatch(/249.*2\.0.s.*2\.0.s.*2\.0.s/);
      await groups.getByRole("link").click();
      await eventually(() => search().get("repository")).toBe(REPOSITORY);
    });

    test("hold when the page is loaded anew, until they are cleared", async () => {
      await page.reload();
      await page.getByRole("button", { name: "Person: mira" }).waitFor();
      await page.getByRole("button", { name: "Clear" }).click();
      await eventually(() => [...search().keys()]).toEqual(["sort", "by"]);
    });
  });

  test("a day and a period say that they are of UTC, beside times of the browser's zone", async () => {
    const { page: chatham } = await explorerOf().openSignedIn("/turns?by=day", { timezoneId: "Pacific/Chatham" });
    await chatham.getByRole("columnheader", { name: "day, UTC" }).waitFor();
    await chatham.getByTitle("show only these turns").first().click();
    await chatham.getByRole("button", { name: /^Period: from \d+\s\w+,\s00:00 to \d+\s\w+,\s00:00 UTC$/ }).waitFor();
    await chatham.context().close();
  });

  test("the arrow keys go from row to row, and Enter leads to the turn's trace", async () => {
    await page.goto(`${origin}/turns`);
    await page.getByRole("table", { name: "Turns" }).waitFor();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await eventually(() => page.url()).toContain(`/sessions/${TURN_SESSION}/traces/${traceOf(1)}`);
  });

  test("a point of the plot leads to its trace", async () => {
    await page.goto(`${origin}/turns`);
    const plot = page.getByRole("img", { name: /^Duration of a turn of the 100 turns/ }).locator(".u-over");
    // The last turn stands near the right edge; the clicks go down there until they meet it.
    let top = 4;
    const click = async () => {
      // A click may have met it, and the plot be gone before the URL is known to be another.
      const box = await plot.boundingBox({ timeout: 1_000 }).catch(() => null);
      if (box === null) return page.url();
      top = (top + 12) % box.height;
      await plot.click({ position: { x: box.width * 0.99, y: top }, timeout: 1_000 }).catch(() => undefined);
      return page.url();
    };
    await eventually(click).toContain(traceOf(0));
  });
}
