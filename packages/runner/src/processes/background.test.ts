/** Background processes of commands are counted, and no others. */
import { INVALID_CONTEXT } from "@valet/shared/tracing";
import { expect, onTestFinished, test, vi } from "vitest";
import { temporaryFolder } from "../../test/folder.ts";
import { killCommandOf, runCommand } from "../jobs/command.ts";
import { countBackgroundProcesses } from "./background.ts";

/** Runs a command as a process of this sandbox. */
function commandIn(sandboxId: string, run: string) {
  const stepId = `${sandboxId}/0`;
  onTestFinished(() => killCommandOf(stepId));
  const ended = runCommand({
    run,
    workspace: temporaryFolder(),
    stepId,
    context: INVALID_CONTEXT,
    timeoutMs: 60_000,
    env: { PATH: process.env.PATH, VALET_SANDBOX_ID: sandboxId },
    signal: new AbortController().signal,
  });
  return { ended, stepId };
}

const newSandbox = () => `sbx_${crypto.randomUUID()}`;

test("a background process of a command counts until it ends", async () => {
  const sandboxId = newSandbox();
  expect(countBackgroundProcesses(sandboxId)).toBe(0);
  const { ended, stepId } = commandIn(sandboxId, "sleep 60 >/dev/null 2>&1 & (sleep 61 & sleep 62) >/dev/null 2>&1 &");
  await ended;
  await vi.waitFor(() => expect(countBackgroundProcesses(sandboxId)).toBe(2), 20_000);
  expect(countBackgroundProcesses(newSandbox())).toBe(0);
  killCommandOf(stepId);
  await vi.waitFor(() => expect(countBackgroundProcesses(sandboxId)).toBe(0), 20_000);
});

test("a running command and its child processes do not count", async () => {
  const sandboxId = newSandbox();
  const { ended } = commandIn(sandboxId, "sleep 0.5; sleep 0.1 & wait; true");
  while ((await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 50, "running"))])) === "running") {
    expect(countBackgroundProcesses(sandboxId)).toBe(0);
  }
  expect(countBackgroundProcesses(sandboxId)).toBe(0);
});
