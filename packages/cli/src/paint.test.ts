import { stripVTControlCharacters } from "node:util";
import { expect, test } from "vitest";
import * as paint from "./paint.ts";

const ESCAPE = "\u001b";
const COLOURED = new RegExp(`${ESCAPE}\\[\\d+m(.*?)${ESCAPE}\\[0m`, "g");
const plain = stripVTControlCharacters;
const painted = (text: string) => [...text.matchAll(COLOURED)].map(([, each]) => each);

test.each([
  [paint.paintVerdict, "ses_1  stuck for 2 min", ["stuck"]],
  [paint.paintVerdict, "waiting_for_person for 2 min (running)", ["waiting_for_person"]],
  [paint.paintVerdict, "ses_1  idle  2 min", []],
  [paint.paintFinding, "missing  git: install git", ["missing"]],
  [paint.paintFinding, "ok       Node: 24", ["ok"]],
  [
    paint.paintTrace,
    "ab12  2026-01-01T00:00:00.000Z      open  POST /x  (4 spans, 1 open, 2 errors)",
    ["open", "2 errors"],
  ],
  [paint.paintTrace, "ab12  2026-01-01T00:00:00.000Z     1.10s  no errors, open  (4 spans)", []],
  [paint.paintTurn, "11-27 00:12  error: runner_lost  1 s", ["error: runner_lost"]],
  [paint.paintTurn, "11-27 00:12  ok       1 s  error", []],
  [paint.paintSession, "   └─ ses_1  error (idle)  t", ["error"]],
  [paint.paintSpan, "+0ms  1ms  ███  └─ ✗ chat m", ["+0ms  1ms  ███  └─ ✗ chat m"]],
  [paint.paintSpan, "+0ms  1ms  ███  └─ chat ✗m", []],
] as const)("%o %s: %j", (of, line, words) => {
  const shown = of(line);
  expect(plain(shown)).toBe(line);
  expect(painted(shown)).toEqual(words);
});
