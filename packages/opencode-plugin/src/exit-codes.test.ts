/** The exit codes of child processes, with a stand-in for Bun, which these tests do not run in. */
import { expect, test, vi } from "vitest";
import { giveExitCodes } from "./exit-codes.ts";

type End = [exitCode: number | null, signal: string | number | null];

/** Returns the arguments with which `onExit` was called when a process ended in this way. */
function reported(cmd: readonly string[], end: End): unknown[][] {
  const onExit = vi.fn();
  const Bun = {
    spawn: (first: object) =>
      (first as { onExit(child: unknown, ...end: unknown[]): void }).onExit("child", ...end, undefined),
  };
  giveExitCodes({ Bun });
  const options = { cmd, onExit };
  Bun.spawn(options);
  return onExit.mock.calls;
}

const COMMAND = ["/bin/bash", "-c", "make"];

test.each<[string, End, End]>([
  ["SIGKILL", [null, "SIGKILL"], [137, null]],
  ["SIGTERM", [null, "SIGTERM"], [143, null]],
  ["a signal without a name", [null, 34], [162, null]],
])("a shell's command that %s killed has an exit code", (_what, end, expected) => {
  expect(reported(COMMAND, end)).toEqual([["child", ...expected, undefined]]);
});

test("a shell's command that ended by itself keeps its exit code", () => {
  expect(reported(COMMAND, [3, null])).toEqual([["child", 3, null, undefined]]);
});

test("other programs end as they did", () => {
  expect(reported(["git", "status"], [null, "SIGKILL"])).toEqual([["child", null, "SIGKILL", undefined]]);
});

test("processes that nobody waits for are started unchanged", () => {
  const started: unknown[][] = [];
  const Bun = { spawn: (...args: unknown[]) => void started.push(args) };
  giveExitCodes({ Bun });
  const env = { A: "1" };
  Bun.spawn(["sh", "-c", "true"], { env });
  Bun.spawn({ cmd: COMMAND });
  expect(started).toEqual([
    [["sh", "-c", "true"], { env }],
    [{ cmd: COMMAND }, undefined],
  ]);
});
