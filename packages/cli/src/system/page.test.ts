/** The page of `valet up`: built once for the same sources, built anew after a change, and a sentence where it cannot be built. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { startPage } from "./page.ts";

/** Counts its runs, and writes a page that holds its source. */
const BUILD = `
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
const [, , folder] = process.argv;
appendFileSync("../runs", \`\${Object.keys(process.env).sort()}\\n\`);
mkdirSync(\`\${folder}/assets\`, { recursive: true });
writeFileSync(\`\${folder}/index.html\`, readFileSync("src/page.txt"));
writeFileSync(\`\${folder}/assets/main-1.js\`, "export {}");
`;

function makeSources(script = BUILD) {
  const folder = mkdtempSync(join(tmpdir(), "valet-page-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const web = join(folder, "web");
  for (const each of ["web/scripts", "web/src", "web/node_modules", "shared"]) {
    mkdirSync(join(folder, each), { recursive: true });
  }
  const write = (path: string, text: string) => writeFileSync(join(folder, path), text);
  write("web/package.json", '{ "type": "module" }');
  write("web/scripts/build.ts", script);
  write("web/src/page.txt", "first");
  write("shared/a.ts", "");
  write("runs", "");
  const reports: string[] = [];
  const start = (env: Record<string, string> = {}) => {
    const page = startPage({
      fallback: join(folder, "state"),
      env: { PATH: process.env.PATH, ...env },
      report: (line) => void reports.push(line),
      sources: { package: web, others: [join(folder, "shared")] },
    });
    onTestFinished(() => page.stop());
    const get = async (path: string) => {
      const { status, type, body } = await page.fetch({ url: `http://valet${path}` });
      return [status, type, body?.toString()];
    };
    return { get, stop: () => page.stop() };
  };
  const runs = () => readFileSync(join(folder, "runs"), "utf8").split("\n").length - 1;
  return { folder, web, write, start, runs, reports };
}

test("files are served with their types, and nothing else is", async () => {
  const { start } = makeSources();
  const { get } = start();
  expect(await get("/index.html")).toEqual([200, "text/html; charset=utf-8", "first"]);
  expect(await get("/assets/main-1.js")).toEqual([200, "text/javascript; charset=utf-8", "export {}"]);
  for (const path of ["/", "/assets/", "/../runs", "/assets/%2e%2e/%2e%2e/runs"])
    expect((await get(path))[0]).toBe(404);
});

test("the same sources are built once; a change is built anew, and replaces the old build", async () => {
  const { folder, web, write, start, runs } = makeSources();
  for (let i = 0; i < 3; i++) await start().get("/index.html");
  expect(runs()).toBe(1);
  write("web/src/page.test.ts", "a test is no source");
  await start().get("/index.html");
  expect(runs()).toBe(1);
  write("web/src/page.txt", "second");
  expect(await start().get("/index.html")).toContain("second");
  write("shared/a.ts", "more");
  await start().get("/index.html");
  expect(runs()).toBe(3);
  expect(readdirSync(join(web, "node_modules/.cache/valet-page"))).toHaveLength(1);
  expect(readdirSync(folder)).not.toContain("state");
});

test("several starts at once have the same page", async () => {
  const { web, start } = makeSources();
  const pages = await Promise.all(Array.from({ length: 4 }, () => start().get("/index.html")));
  expect(new Set(pages.map(String)).size).toBe(1);
  expect(readdirSync(join(web, "node_modules/.cache/valet-page"))).toHaveLength(1);
});

test("a page that is served stays as it is when another start builds a newer one", async () => {
  const { write, start } = makeSources();
  const first = start();
  await first.get("/index.html");
  write("web/src/page.txt", "second");
  await start().get("/index.html");
  expect(await first.get("/index.html")).toContain("first");
});

test("where the package cannot be written, builds are kept with the state", async () => {
  const { folder, web, write, start, runs } = makeSources();
  // A file in its place: root may write into any folder.
  rmSync(join(web, "node_modules"), { recursive: true });
  write("web/node_modules", "");
  for (let i = 0; i < 2; i++) expect(await start().get("/index.html")).toContain("first");
  expect(runs()).toBe(1);
  expect(readdirSync(join(folder, "state"))).toHaveLength(1);
});

test("the build sees no key of the environment", async () => {
  const { folder, start } = makeSources();
  await start({ ANTHROPIC_API_KEY: "canary" }).get("/index.html");
  expect(readFileSync(join(folder, "runs"), "utf8")).not.toContain("ANTHROPIC");
});

test.each([
  ['throw new Error("src/a.tsx: this is no TypeScript");', "src/a.tsx: this is no TypeScript"],
  ['import "vite-that-is-not-installed";', "Install the packages"],
  ["process.exit(3);", "the build ended with 3"],
  ["", "the build has no index.html"],
])("a build that fails is reported once, and said wherever the page is asked for: %s", async (script, reason) => {
  const { start, reports } = makeSources(script);
  const { get } = start();
  for (const path of ["/index.html", "/assets/x.js"]) {
    expect(await get(path)).toEqual([503, "text/plain; charset=utf-8", expect.stringContaining(reason)]);
  }
  expect(reports).toEqual([expect.stringMatching(/^The page could not be built: .* work without it\.$/)]);
});

test("a stop ends a build, and reports nothing", async () => {
  const { folder, start, reports } = makeSources(
    `${BUILD}\nwriteFileSync("../pid", String(process.pid)); setInterval(() => {}, 1000);`,
  );
  const { get, stop } = start();
  const pid = await vi.waitFor(() => {
    const text = readFileSync(join(folder, "pid"), "utf8");
    expect(text).not.toBe("");
    return Number(text);
  }, 10_000);
  stop();
  expect((await get("/index.html"))[0]).toBe(503);
  await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow(), 10_000);
  expect(reports).toEqual([]);
});
