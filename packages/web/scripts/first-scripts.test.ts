import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { firstScripts, LIMIT_BYTES } from "./first-scripts.ts";

const dist = mkdtempSync(join(tmpdir(), "valet-web-"));
afterAll(() => rmSync(dist, { recursive: true }));

test("before its first paint, no page loads more JavaScript than a person waits for", () => {
  execFileSync(process.execPath, [join(import.meta.dirname, "build.ts"), dist], {
    stdio: "pipe",
    // As `valet up` builds it: that of a test would be React's build for developers.
    env: { ...process.env, NODE_ENV: "production" },
  });
  const pages = firstScripts(join(import.meta.dirname, ".."), dist);
  expect(pages.length).toBeGreaterThanOrEqual(8);
  // What is read is what a browser needs: the entry, React and the page itself.
  for (const { files } of pages) {
    expect([...files.keys()]).toContain("theme.js");
    expect(Math.max(...files.values())).toBeGreaterThan(50_000);
  }
  const tooLarge = pages.filter(({ bytes }) => bytes > LIMIT_BYTES).map(({ page, bytes }) => `${page}: ${bytes}`);
  expect(tooLarge).toEqual([]);
});
