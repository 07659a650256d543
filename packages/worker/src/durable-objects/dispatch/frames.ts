/** Builds the frame that dispatches an attempt to the runner, from the rows of the queue. Pure. */
import type { PromptDispatch, WorkflowDispatch } from "@valet/shared/protocol/dispatch";
import type { ToRunnerOf } from "@valet/shared/protocol/runner-link";
import { contextHeaders } from "@valet/shared/tracing";
import { withoutUndefined } from "@valet/shared/without-undefined";
import type { MessageBody, WorkflowBody } from "../queue/job-store.ts";
import type { BegunAttempt } from "../queue/ports.ts";
import { MODES } from "../queue/queue-rules.ts";

/** What the runner needs besides the job. */
export interface DispatchSettings {
  readonly model: string | undefined;
  readonly models: readonly string[];
  readonly opencodeSessionId: string | undefined;
  readonly continuationContext: string | undefined;
}

/** @param bodies the attempt's messages, in order of acceptance */
export function promptFrame(
  begun: BegunAttempt,
  bodies: readonly MessageBody[],
  settings: DispatchSettings,
): ToRunnerOf<"prompt"> {
  const { attempt, jobs } = begun;
  const [head] = jobs;
  const last = bodies.at(-1) as MessageBody;
  const { queue, ...common } = commonDispatch(begun, settings);
  const authors = new Set(bodies.map(({ author }) => JSON.stringify(author)));
  const isCollected = MODES[head.mode].isCollected;
  const optional = withoutUndefined({
    author: authors.size === 1 ? last.author : undefined,
    model: last.model ?? settings.model,
    threadId: last.threadId,
    replyChannel: last.replyChannel,
  });
  const dispatch: PromptDispatch = {
    ...common,
    messageId: head.id,
    messageIds: jobs.map(({ id }) => id),
    queue: { ...queue, ...(isCollected && { collectBufferMs: Math.max(attempt.nowMs - head.acceptedMs, 0) }) },
    content: bodies.map(({ content }) => content).join("\n\n"),
    attachments: bodies.flatMap(({ attachments }) => attachments),
    models: [...(last.models ?? settings.models)],
    ...optional,
  };
  return { type: "prompt", dispatch };
}

export function workflowFrame(
  begun: BegunAttempt,
  { name, steps, onFailure }: WorkflowBody,
  settings: DispatchSettings,
): ToRunnerOf<"workflow-execute"> {
  const { jobs, firstStep } = begun;
  const { model, models } = settings;
  const dispatch: WorkflowDispatch = {
    ...commonDispatch(begun, settings),
    executionId: jobs[0].id,
    name,
    steps: [...steps],
    onFailure,
    firstStep,
    models: [...models],
    ...withoutUndefined({ model }),
  };
  return { type: "workflow-execute", dispatch };
}

function commonDispatch(
  { attempt: { id, number, waitMs, reason }, jobs: [{ channel, mode }], context }: BegunAttempt,
  { opencodeSessionId, continuationContext }: DispatchSettings,
) {
  return {
    attemptId: id,
    attempt: number,
    channel,
    queue: { waitMs, reason, mode },
    refuseUnknownModels: true,
    ...withoutUndefined({ opencodeSessionId, continuationContext }),
    ...contextHeaders(context),
  };
}
