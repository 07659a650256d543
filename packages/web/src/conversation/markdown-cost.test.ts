import { createElement } from "react";
import { renderToStaticMarkup } from "react-dom/server";
import { describe, expect, test } from "vitest";
import { MAX_BLOCK_COST, markdownCost } from "./markdown-cost.ts";
import RenderedMarkdown from "./rendered-markdown.tsx";

/** The most that is rendered of one block (markdown.tsx). */
const LENGTH = 20_000;
const fill = (pattern: string) => pattern.repeat(Math.floor(LENGTH / pattern.length));
const table = (columns: number, rows: number) =>
  `${"a|".repeat(columns)}\n${"-|".repeat(columns)}\n${"a|\n".repeat(rows)}`;

/** Each of these takes the renderer seconds, and some a minute. */
const SLOW = [
  "1. ",
  "1.\t",
  "> ",
  ">",
  "> 1. - ",
  "*_",
  "- a\n",
  "a\n",
  "~a~",
  "[a][",
  "[^a]: x\n",
  "[a]: x\n",
  "[a](b",
  "` `` ",
];

describe("is not rendered:", () => {
  test.each(SLOW)("%j, again and again", (pattern) => {
    expect(markdownCost(fill(pattern))).toBeGreaterThan(MAX_BLOCK_COST);
  });

  test("a table whose short rows are filled up", () => {
    expect(markdownCost(table(50, 200))).toBeGreaterThan(MAX_BLOCK_COST);
    expect(markdownCost(`> a|b\n> -|-\n${"> |\n".repeat(3000)}`)).toBeGreaterThan(MAX_BLOCK_COST);
  });

  test.each([
    ["text after a fence that has ended", "```\ncode\n```\n"],
    ["text after what resembles a fence", "``` a`b\n"],
    ["text after a comment that holds a fence", "<!--\n```\n-->\n"],
    ["text after a list with a fence in it", "- a\n  ```\n"],
    ["text in a quoted fence", "> ```\n"],
  ])("%s", (_what, before) => {
    expect(markdownCost(before + fill("*_"))).toBeGreaterThan(MAX_BLOCK_COST);
  });
});

/** Returns the processor time since then in milliseconds, of which a busy machine's tests need no more than others. */
function cpuMs(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1000;
}

test("what a text costs is known at once", () => {
  const start = process.cpuUsage();
  for (const unit of ["`", "~", ">", "- ", "|", "1. ", " ", "<"]) markdownCost(`${fill(unit)} \``);
  expect(cpuMs(start)).toBeLessThan(2_000);
});

describe("is rendered:", () => {
  test.each([
    ["prose", "A sentence, with `code`, a [link](https://a.example/b) and **weight**.\n".repeat(100)],
    ["a list", "- One *point*, and `another`.\n".repeat(150)],
    ["a table", `| a | b | c |\n| - | - | - |\n${"| 1 | 2 | 3 |\n".repeat(150)}`],
    ["code with many marks", `Here it is:\n\`\`\`ts\n${fill("*_\n")}\`\`\`\nAnd that was it.`],
    ["a list in a list", "- a\n  - b\n    1. c\n       > d\n".repeat(50)],
  ])("%s", (_what, text) => {
    expect(markdownCost(text)).toBeLessThanOrEqual(MAX_BLOCK_COST);
  });
});

test.each([...SLOW, `${"> ".repeat(12)}a\n`, `${"1. ".repeat(12)}a\n`, "- a\n  > b\n"])(
  "as much of %j as is rendered takes a moment",
  (pattern) => {
    let repeats = Math.floor(LENGTH / pattern.length);
    while (markdownCost(pattern.repeat(repeats)) > MAX_BLOCK_COST) repeats = Math.floor(repeats * 0.9);
    const start = process.cpuUsage();
    renderToStaticMarkup(createElement(RenderedMarkdown, { text: pattern.repeat(repeats) }));
    expect(cpuMs(start)).toBeLessThan(10_000);
  },
);
