import { expect, test } from "vitest";
import { type Terminal, terminalOf } from "./terminal.ts";

const TTY = { isTTY: true, columns: 100, rows: 30 };
const PIPE = { isTTY: false };

test.each<[string, Parameters<typeof terminalOf>[0], Record<string, string>, Partial<Terminal>]>([
  ["a terminal has its width, and colours", TTY, {}, { columns: 100, rows: 30, hasColour: true, canRedraw: true }],
  ["a pipe has neither", PIPE, {}, { columns: undefined, hasColour: false, canRedraw: false }],
  ["a pipe has no width of COLUMNS", PIPE, { COLUMNS: "40" }, { columns: undefined }],
  ["COLUMNS is the width of a terminal", TTY, { COLUMNS: "60" }, { columns: 60 }],
  ["COLUMNS that is no width does not count", TTY, { COLUMNS: "wide" }, { columns: 100 }],
  ["a terminal without a size has 80 columns", { isTTY: true, columns: 0 }, {}, { columns: 80, rows: 24 }],
  ["no terminal is narrower than 20", TTY, { COLUMNS: "3" }, { columns: 20 }],
  ["NO_COLOR removes colours", TTY, { NO_COLOR: "1" }, { hasColour: false, columns: 100, canRedraw: true }],
  ["an empty NO_COLOR does not", TTY, { NO_COLOR: "" }, { hasColour: true }],
  [
    "FORCE_COLOR adds them to a pipe, and no width",
    PIPE,
    { FORCE_COLOR: "1" },
    { hasColour: true, columns: undefined },
  ],
  ["FORCE_COLOR=0 removes them", TTY, { FORCE_COLOR: "0" }, { hasColour: false }],
  ["NO_COLOR counts more than FORCE_COLOR", TTY, { NO_COLOR: "1", FORCE_COLOR: "1" }, { hasColour: false }],
  ["a dumb terminal has a width only", TTY, { TERM: "dumb" }, { hasColour: false, canRedraw: false, columns: 100 }],
])("%s", (_, stream, env, expected) => {
  expect(terminalOf(stream, env)).toMatchObject(expected);
});
