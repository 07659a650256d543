/** Reports the progress of a workflow. */

import type { WorkflowStepView, WorkflowView } from "@valet/shared/protocol/session-view";
import { queueText } from "./queue-text.ts";

/**
 * @param report receives progress lines
 * @param print receives a step's output once the step is done
 * @returns a function to call with each polled view of the workflow; it reports what changed since the last call
 */
export function createProgress(
  report: (line: string) => void,
  print: (text: string) => void,
): (workflow: WorkflowView) => void {
  const reported = new Map<string, string>();
  const reportOnce = (key: string, line: string): boolean => {
    if (reported.get(key) === line) return false;
    reported.set(key, line);
    report(line);
    return true;
  };
  return (workflow) => {
    const { status, steps } = workflow;
    if (status === "queued") reportOnce("queue", queueText(workflow));
    for (const [index, step] of steps.entries()) {
      if (step.status === "waiting") continue;
      const isNew = reportOnce(String(index), `${index + 1}/${steps.length} ${step.name}: ${stateOf(step)}`);
      if (isNew && step.output !== undefined) print(step.output.trimEnd());
    }
  };
}

function stateOf({
  status,
  outcome,
  errorType,
  outcomeReason,
  failure,
  exitCode,
  signal,
  duration_ms,
}: WorkflowStepView): string {
  if (status === "running") return status;
  const code = exitCode === undefined || exitCode === 0 ? undefined : `exit code ${exitCode}`;
  const killed = signal === undefined ? undefined : `killed by ${signal}`;
  const time = duration_ms === undefined ? undefined : `${(duration_ms / 1000).toFixed(1)} s`;
  const cause = failure?.cause === undefined ? undefined : `cause: ${failure.cause}`;
  return [outcome, errorType ?? outcomeReason, cause, code, killed, time].filter(Boolean).join(", ");
}
