// Writes the pictures of the session explorer in `docs/images/`, from the demo's course: `pnpm exec node tests/explorer/write-screenshots.ts`.
// It needs Chromium, as the tests of the page do.
import { mkdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { makeDemoRepository } from "../../packages/cli/src/demo/demo-repository.ts";
import { runDemo } from "../../packages/cli/src/demo/run-demo.ts";
import { startExplorer } from "./page.ts";

const FOLDER = join(import.meta.dirname, "../../docs/images");
/** CSS px. A page that shows less is cut to what it shows. */
const SIZE = { width: 1440, height: 900 };
const MARGIN = 32;
/** A picture above this makes the README slow. */
const MAX_BYTES = 200_000;

const say = (line: string) => void process.stderr.write(`${line}\n`);

mkdirSync(FOLDER, { recursive: true });
const repository = await makeDemoRepository();
const explorer = await startExplorer();
try {
  const { sessionId, traces } = await runDemo(explorer.up.api, repository.url, say);
  const prompt = traces.find(({ spans }) => spans.some(({ name }) => name === "valet.prompt"));
  const [message] = await explorer.up.api.messages(sessionId);
  if (prompt === undefined || message === undefined) throw new Error("the demo has left no trace of its first message");
  const session = `/sessions/${sessionId}`;
  const pages = {
    inbox: "/",
    session,
    trace: `${session}/traces/${prompt.traceId}`,
    why: `${session}/messages/${message.id}/why`,
  };
  const { page } = await explorer.openSignedIn("/", { viewport: SIZE, colorScheme: "light" });
  for (const [name, path] of Object.entries(pages)) {
    await page.goto(explorer.up.url + path);
    await page.locator("h1").first().waitFor({ state: "attached" });
    await page.locator('[aria-busy="true"]').first().waitFor({ state: "detached" });
    await page.waitForLoadState("networkidle");
    const file = join(FOLDER, `${name}.png`);
    await page.screenshot({ path: file, clip: { x: 0, y: 0, width: SIZE.width, height: await shownHeight(page) } });
    const { size } = statSync(file);
    say(`${file}: ${size} bytes`);
    if (size > MAX_BYTES) throw new Error(`${name}.png has ${size} bytes, the limit is ${MAX_BYTES}`);
  }
} finally {
  await explorer.close();
  rmSync(repository.folder, { recursive: true, force: true });
}

/** Returns the height down to the last thing that the page shows, CSS px. */
async function shownHeight(page: Page): Promise<number> {
  const bottom = await page.evaluate(() => {
    const leaves = [...document.querySelectorAll("main *")].filter((element) => element.childElementCount === 0);
    return Math.max(...leaves.map((element) => element.getBoundingClientRect().bottom));
  });
  return Math.min(SIZE.height, Math.ceil(bottom) + MARGIN);
}
