import type { WorkflowStepView, WorkflowView } from "@valet/shared/protocol/session-view";
import { expect, test } from "vitest";
import { createProgress } from "./workflow-progress.ts";

const mend: WorkflowStepView = { name: "mend", type: "prompt", status: "waiting" };
const build: WorkflowStepView = { name: "build", type: "command", status: "waiting" };

function workflow(more: Partial<WorkflowView>): WorkflowView {
  return {
    id: "wfl_1",
    name: "release",
    status: "accepted",
    onFailure: "stop",
    channel: "main",
    attempts: 1,
    acceptedAt: "2026-01-01T00:00:00.000Z",
    steps: [mend, build],
    ...more,
  };
}

test("progress is reported once, and a step's output is printed when the step is done", () => {
  const lines: string[] = [];
  const look = createProgress(
    (line) => lines.push(line),
    (text) => lines.push(`> ${text}`),
  );
  const mended: WorkflowStepView = { ...mend, status: "done", outcome: "ok", duration_ms: 1234, output: "Mended.\n" };
  const failed: WorkflowStepView = {
    ...build,
    status: "done",
    outcome: "error",
    errorType: "command_failed",
    exitCode: 2,
  };
  const { exitCode: _, ...others } = failed;
  const killed: WorkflowStepView = { ...others, signal: "SIGSEGV" };
  for (const seen of [
    workflow({ status: "queued" }),
    workflow({ status: "queued", queueReason: "sandbox_starting" }),
    workflow({ status: "queued", queueReason: "sandbox_starting" }),
    workflow({}),
    workflow({ steps: [{ ...mend, status: "running" }, build] }),
    workflow({ steps: [mended, build] }),
    workflow({ steps: [mended, build] }),
    workflow({ steps: [mended, failed] }),
    workflow({ steps: [mended, killed] }),
  ]) {
    look(seen);
  }
  expect(lines).toEqual([
    "queued",
    "queued: sandbox_starting",
    "1/2 mend: running",
    "1/2 mend: ok, 1.2 s",
    "> Mended.",
    "2/2 build: error, command_failed, exit code 2",
    "2/2 build: error, command_failed, killed by SIGSEGV",
  ]);
});
