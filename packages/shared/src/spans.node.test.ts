// The specification says what the catalogue says, and the tests that it names are there. Needs a file system, hence Node.
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readDocuments } from "../scripts/documents.ts";
import { insertBetween } from "../scripts/markdown.ts";
import { renderCatalogue } from "../scripts/render-catalogue.ts";
import { ATTRIBUTES, ERROR_TYPES, EVENTS, SPANS } from "./spans.ts";

const ROOT = new URL("../../../", import.meta.url);
const document = readFileSync(new URL("docs/specs/session-tracing.md", ROOT), "utf8");

test.each(readDocuments())("the tables in $path are what the code says", ({ path, now, wanted }) => {
  expect(now, `${path} is out of date: pnpm exec node packages/shared/scripts/write-catalogue.ts`).toBe(wanted);
});

test("everything in the catalogue is in its tables", () => {
  const tables = renderCatalogue();
  for (const name of [...Object.keys(SPANS), ...Object.keys(ATTRIBUTES), ...Object.keys(EVENTS), ...ERROR_TYPES]) {
    expect(tables).toContain(`| \`${name}\` |`);
  }
});

test("tables are replaced between the markers and nowhere else", () => {
  const [before, after] = ["# Before\n", "\n# After\n"];
  const written = insertBetween("table", `${before}<!-- table:start -->old<!-- table:end -->${after}`, "new");
  expect(written).toBe(`${before}<!-- table:start -->\nnew\n<!-- table:end -->${after}`);
  expect(insertBetween("table", written, "new")).toBe(written);
});

test.each([
  ["none", "text"],
  ["no end", "<!-- table:start -->"],
  ["the wrong way round", "<!-- table:end --><!-- table:start -->"],
  ["two", "<!-- table:start --><!-- table:end -->".repeat(2)],
])("markers that leave the place open are an error: %s", (_what, text) => {
  expect(() => insertBetween("table", text, "new")).toThrow("<!-- table:start -->");
});

describe("coverage", () => {
  const rows = document
    .slice(document.indexOf("\n## Coverage"))
    .split("\n")
    .filter((line) => /^\| (?!---|what \||behaviour \|)/.test(line))
    .map((line) => line.split("|").map((cell) => cell.trim()));

  test("the table is there", () => {
    expect(rows.length).toBeGreaterThan(20);
  });

  test.each(rows.map((cells) => [cells[1], ...cells.slice(-3, -1)]))("%s", (_what, state, tests) => {
    const paths = [...(tests ?? "").matchAll(/`([^`]+)`/g)].map(([, path]) => path as string);
    expect(paths.filter((path) => !existsSync(new URL(path, ROOT)))).toEqual([]);
    expect(state).toBe(paths.length > 0 ? "built" : "not yet");
  });
});

describe("hosting behaviours", () => {
  const table = readFileSync(new URL("docs/specs/hosting-behaviours.md", ROOT), "utf8");
  const rows = table
    .split("\n")
    .filter((line) => /^\| (?!---|behaviour \||mistake \|)/.test(line))
    .map((line) => line.split("|").map((cell) => cell.trim()));

  test("the tables are there", () => {
    expect(rows.length).toBeGreaterThan(50);
  });

  test.each(rows.map((cells) => [cells[1], cells.at(-2) as string]))("%s", (_what, tests) => {
    const named = tests.split(/(?<="); (?=`)/).flatMap((each) => {
      const [, path, names = ""] = /^`([^`]+)`: (".+")$/.exec(each) ?? [];
      expect(path, each).toBeDefined();
      const source = readFileSync(new URL(path as string, ROOT), "utf8");
      return names.split('", "').map((name) => ({ name: name.replaceAll(/^"|"$/g, ""), source }));
    });
    expect(named.filter(({ name, source }) => !source.includes(`"${name}"`)).map(({ name }) => name)).toEqual([]);
  });
});
