/** How far a workflow has come, in lines for whoever watches. */

import type { WorkflowStepView, WorkflowView } from "@valet/shared/protocol/session-view";
import { queueText } from "./queue-text.ts";

/**
 * @param report takes what goes on
 * @param print takes what a step gave, once it is done
 * @returns to be called with the workflow whenever it has been looked at; says what is new since the last time
 */
export function createProgress(
  report: (line: string) => void,
  print: (text: string) => void,
): (workflow: WorkflowView) => void {
  const told = new Map<string, string>();
  const tell = (key: string, line: string): boolean => {
    if (told.get(key) === line) return false;
    told.set(key, line);
    report(line);
    return true;
  };
  return (workflow) => {
    const { status, steps } = workflow;
    if (status === "queued") tell("queue", queueText(workflow));
    for (const [index, step] of steps.entries()) {
      if (step.status === "waiting") continue;
      const isNew = tell(String(index), `${index + 1}/${steps.length} ${step.name}: ${stateOf(step)}`);
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
  const cause = failure?.cause === undefined ? undefined : `the last model: ${failure.cause}`;
  return [outcome, errorType ?? outcomeReason, cause, code, killed, time].filter(Boolean).join(", ");
}
