import { endWith } from "@valet/shared/outcome";
import type { PromptDispatch, WorkflowDispatch } from "@valet/shared/protocol/dispatch";
import { SpanKind } from "@valet/shared/tracing";
import type { AgentReply } from "../src/agent/agent.ts";
import type { AbortReason } from "../src/jobs/agent-task.ts";
import type { TurnResult } from "../src/jobs/turn.ts";
import type { WorkflowResult } from "../src/jobs/workflow.ts";
import type { AgentStart, RunnerOptions } from "../src/runner-options.ts";
import { openSpanText } from "../src/spans/tracing.ts";

export const DONE: TurnResult = {
  outcome: "ok",
  opencodeSessionId: "ses_opencode",
  parts: [{ type: "text", id: "p1", text: "Hello." }],
  summary: {
    turnMs: 1,
    modelMs: 1,
    toolMs: 0,
    permissionWaitMs: 0,
    modelCalls: 1,
    toolCalls: 0,
    toolErrors: 0,
    retries: 0,
    tokens: { input: 1, output: 1, cacheRead: 0, cacheWrite: 0, reasoning: 0 },
    costUsd: 0,
  },
};

/** An agent whose jobs the test ends. */
export function createAgent({ healthy = () => Promise.resolve() as Promise<unknown>, hangs = false } = {}) {
  const ends = new Map<string, (result: TurnResult) => void>();
  const workflowEnds = new Map<string, (result: WorkflowResult) => void>();
  const runs: PromptDispatch[] = [];
  const executions: WorkflowDispatch[] = [];
  const replies: AgentReply[] = [];
  let start: AgentStart | undefined;
  let isStopped = false;
  const startAgent: RunnerOptions["startAgent"] = (given) => {
    start = given;
    const { tracer, parent } = given;
    const span = tracer.startSpan("valet.runner.opencode_start", { parent });
    const becomesHealthy = healthy().then(
      () => endWith(span, "ok"),
      (error: unknown) => {
        endWith(span, "error", "opencode_unhealthy");
        throw error;
      },
    );
    return {
      healthy: becomesHealthy,
      agent: {
        jobs: {
          run(dispatch) {
            runs.push(dispatch);
            const { promise, resolve } = Promise.withResolvers<TurnResult>();
            const turn = tracer.startSpan("valet.turn", {
              kind: SpanKind.CONSUMER,
              attributes: { "valet.dispatch.attempt_id": dispatch.attemptId },
            });
            ends.set(dispatch.attemptId, (result) => {
              endWith(turn, result.outcome, result.errorType as "user_abort");
              resolve(result);
            });
            return {
              openSpan: openSpanText(turn),
              progress: () => DONE.summary,
              done: promise,
            };
          },
          execute(dispatch) {
            executions.push(dispatch);
            const { promise, resolve } = Promise.withResolvers<WorkflowResult>();
            const execution = tracer.startSpan("valet.workflow.execute", {
              kind: SpanKind.CONSUMER,
              attributes: { "valet.dispatch.attempt_id": dispatch.attemptId },
            });
            workflowEnds.set(dispatch.attemptId, (result) => {
              endWith(execution, result.outcome, result.errorType as "user_abort");
              resolve(result);
            });
            return { openSpan: openSpanText(execution), progress: () => DONE.summary, done: promise };
          },
          async abort(attemptId: string, errorType: AbortReason) {
            if (!hangs) ends.get(attemptId)?.({ ...DONE, outcome: "aborted", errorType });
          },
          async reply(reply) {
            replies.push(reply);
          },
        },
        async stop() {
          isStopped = true;
          if (hangs) await new Promise(() => {});
        },
      },
    };
  };
  return {
    startAgent,
    runs,
    executions,
    replies,
    end: (attemptId: string, result: TurnResult = DONE) => ends.get(attemptId)?.(result),
    endWorkflow: (attemptId: string, result: Partial<WorkflowResult> = {}) =>
      workflowEnds.get(attemptId)?.({ outcome: "ok", steps: [], summary: DONE.summary, ...result }),
    tell: (news: Parameters<AgentStart["tell"]>[0]) => start?.tell(news),
    start: () => start,
    isStopped: () => isStopped,
  };
}
