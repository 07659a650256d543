/** Opens a page as somebody does who has never been there, and measures what it takes until its first rows are on the screen. */
import { gzipSync } from "node:zlib";
import type { Browser, BrowserContextOptions, Page, Response } from "playwright-core";
import { memoryBytes } from "../../tests/processes.ts";

/** A page, and what it is good for. */
export interface Place {
  readonly url: string;
  /** Matches its rows. */
  readonly rows: string;
}

export interface OpenedPage {
  readonly page: Page;
  /** From the navigation until the first rows have been painted, ms. */
  readonly firstRowsMs: number;
  /** Of the scripts that were loaded until something was painted, gzip'd. */
  readonly paintScriptBytes: number;
  /** The same until the first rows. */
  readonly rowsScriptBytes: number;
}

const VIEWPORT = { width: 1440, height: 900 };

interface Watched {
  firstRowsMs?: number;
}

/** Opens a page in a browser profile of its own, so with empty caches. @param storageState who is signed in */
export async function openPage(
  browser: Browser,
  { url, rows }: Place,
  storageState: NonNullable<BrowserContextOptions["storageState"]>,
): Promise<OpenedPage> {
  const context = await browser.newContext({ viewport: VIEWPORT, storageState });
  const page = await context.newPage();
  await page.addInitScript(watchForRows, rows);
  const scripts: Response[] = [];
  page.on("response", (response) => {
    if (response.request().resourceType() === "script") scripts.push(response);
  });
  await page.goto(url, { waitUntil: "commit" });
  const firstRows = await page.waitForFunction(() => (window as Watched).firstRowsMs);
  const loaded = [...scripts];
  const firstRowsMs = (await firstRows.jsonValue()) as number;
  const early = new Set(await page.evaluate(scriptsBeforePaint));
  const sizes = await Promise.all(
    loaded.map(async (script) => {
      const bytes = gzipSync(await script.body(), { level: 9 }).length;
      return { bytes, isEarly: early.has(script.url()) };
    }),
  );
  const sum = (some: typeof sizes) => some.reduce((total, { bytes }) => total + bytes, 0);
  return {
    page,
    firstRowsMs,
    paintScriptBytes: sum(sizes.filter(({ isEarly }) => isEarly)),
    rowsScriptBytes: sum(sizes),
  };
}

/** Runs in the page: returns the addresses of the scripts that had come when something was first painted. */
function scriptsBeforePaint(): string[] {
  const [paint] = performance.getEntriesByName("first-contentful-paint");
  const resources = performance.getEntriesByType("resource") as PerformanceResourceTiming[];
  return resources.filter(({ responseEnd }) => responseEnd <= (paint?.startTime ?? Infinity)).map(({ name }) => name);
}

/** Runs in the page: notes when rows are there and painted. */
function watchForRows(rows: string): void {
  const look = () => {
    if (document.querySelector(rows) === null) return void requestAnimationFrame(look);
    requestAnimationFrame(() =>
      setTimeout(() => {
        (window as Watched).firstRowsMs = performance.now();
      }),
    );
  };
  requestAnimationFrame(look);
}

/** Returns the bytes of a page's JavaScript heap after a garbage collection. */
export async function heapBytes(page: Page): Promise<number> {
  const session = await page.context().newCDPSession(page);
  await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  await session.detach();
  return usedSize;
}

/** Returns the memory of all processes of the browser in RAM, bytes. */
export async function browserBytes(browser: Browser): Promise<number> {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  await session.detach();
  return processInfo.reduce((sum, { id }) => sum + memoryBytes(id), 0);
}
