import type { Command } from "commander";
import { afterEach, expect, test, vi } from "vitest";
import { fitHelp } from "./help-text.ts";
import { createProgram } from "./program.ts";

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

/** Returns what a command line that ends with a help writes to a terminal of so many columns; `undefined` for a pipe. */
function helpOf(args: readonly string[], columns: number | undefined, name: "stdout" | "stderr" = "stdout"): string {
  const stream = process[name];
  const before = Object.getOwnPropertyDescriptor(stream, "isTTY");
  Object.defineProperty(stream, "isTTY", { value: columns !== undefined, configurable: true });
  vi.stubEnv("COLUMNS", columns === undefined ? "" : String(columns));
  let written = "";
  const write = vi.spyOn(stream, "write").mockImplementation((text) => {
    written += text;
    return true;
  });
  try {
    const code = name === "stdout" ? "commander.helpDisplayed" : "commander.help";
    expect(() => createProgram().parse(args, { from: "user" })).toThrow(expect.objectContaining({ code }));
  } finally {
    write.mockRestore();
    if (before === undefined) Reflect.deleteProperty(stream, "isTTY");
    else Object.defineProperty(stream, "isTTY", before);
  }
  return written;
}

const pathsOf = (command: Command, path: readonly string[] = []): (readonly string[])[] => [
  path,
  ...command.commands.flatMap((each) => pathsOf(each, [...path, each.name()])),
];

test.each([40, 60, 80, 120])(
  "every help but its examples fits a terminal of %d columns, and loses no word",
  (columns) => {
    for (const path of pathsOf(createProgram())) {
      const help = helpOf([...path, "--help"], columns);
      const long = help.split("\n").filter((line) => line.length > columns && !line.startsWith("  valet "));
      expect([path, long]).toEqual([path, []]);
      const words = (text: string) => text.split(/\s+/).join("");
      expect(words(help)).toBe(words(helpOf([...path, "--help"], undefined)));
    }
  },
);

test("the help on standard error where a sub-command is missing fits a terminal of 40 columns", () => {
  const help = helpOf(["webhooks"], 40, "stderr");
  expect(help).toMatch(/^Usage: valet webhooks/);
  expect(help.split("\n").filter((line) => line.length > 40 && !line.startsWith("  valet "))).toEqual([]);
});

test("a paragraph gets lines of the terminal's width, and examples keep theirs", () => {
  const words = "word ".repeat(24).trimEnd();
  const example = `  valet prompt --repo ${"x".repeat(50)}`;
  const text = `\n${words}\nthe end.\n\nExamples:\n  valet a\n${example}\n${example}     what it does\n`;
  expect(fitHelp(text, 60).split("\n")).toEqual([
    "",
    "word ".repeat(12).trimEnd(),
    "word ".repeat(12).trimEnd(),
    "the end.",
    "",
    "Examples:",
    "  valet a",
    example,
    example,
    "    what it does",
    "",
  ]);
});
