/** One attempt of a job, as the SessionAgent dispatches it to the runner. */
import { z } from "zod";
import { FAILURE_POLICIES } from "../spans.ts";
import { ATTACHMENT_LIMITS } from "./message-limits.ts";
import { ModelRef } from "./model-access.ts";
import { id, millis, traceContext } from "./wire-fields.ts";
import { MAX_WORKFLOW_STEPS, WorkflowStep } from "./workflow.ts";

export const Attachment = z.object({
  filename: z.string().max(ATTACHMENT_LIMITS.filename),
  mediaType: z.string().max(ATTACHMENT_LIMITS.mediaType),
  /** A `data:` URL. */
  url: z.string().max(ATTACHMENT_LIMITS.url).startsWith("data:"),
});
export type Attachment = z.infer<typeof Attachment>;

/** The fields of every attempt, whatever its job. */
const attempt = {
  /** The attempt's id. A runner never works on an attempt twice. */
  attemptId: id,
  /** The number of the attempt among those of its job, from 1. */
  attempt: z.number().int().positive(),
  /** The model that the message names; it is tried first. */
  model: ModelRef.optional(),
  /** The session's preferences, in order; the failover chain. */
  models: z.array(ModelRef).max(10).default([]),
  /** Whether the attempt fails if the agent does not know a model: another model must not answer in its place. */
  refuseUnknownModels: z.boolean().optional(),
  channel: id,
  /** The OpenCode session of this channel, if there has been one. */
  opencodeSessionId: id.optional(),
  /** The conversation so far, for a new OpenCode session. */
  continuationContext: z.string().optional(),
  /** How its job waited; the span of the work repeats it. */
  queue: z.object({
    waitMs: millis,
    reason: z.string().max(64),
    mode: z.string().max(64),
    collectBufferMs: millis.optional(),
  }),
  ...traceContext,
};

/** One attempt to work on a message or on a collected batch: one object from wire to handler. */
export const PromptDispatch = z.object({
  ...attempt,
  /** The message; in a collected batch the first. */
  messageId: id,
  /** All messages of a collected batch, in order; one for a plain message. */
  messageIds: z.array(id).min(1).max(1000),
  content: z.string(),
  author: z.object({ id: z.string().max(200), name: z.string().max(200).optional() }).optional(),
  attachments: z.array(Attachment).max(ATTACHMENT_LIMITS.files).default([]),
  threadId: id.optional(),
  replyChannel: id.optional(),
});
export type PromptDispatch = z.infer<typeof PromptDispatch>;

/** One attempt to execute a workflow. */
export const WorkflowDispatch = z.object({
  ...attempt,
  executionId: id,
  name: z.string().min(1).max(128),
  steps: z.array(WorkflowStep).min(1).max(MAX_WORKFLOW_STEPS),
  onFailure: z.enum(FAILURE_POLICIES),
  /** The index of the step to begin with, from 0: an earlier attempt has done the steps before it. */
  firstStep: z.number().int().nonnegative().default(0),
});
export type WorkflowDispatch = z.infer<typeof WorkflowDispatch>;
