/**
 * What a client's WebSocket is told about a session, as it happens. One JSON object a text frame. A client sends nothing but
 * `ping`, which the platform answers with `pong`; everything else goes through the HTTP API.
 */
import { z } from "zod";
import { MessagePart, QuestionAnswers } from "./runner-link.ts";
import {
  MessageView,
  PermissionReply,
  PermissionView,
  QuestionView,
  SessionView,
  TurnRecord,
  WorkflowStepView,
  WorkflowView,
} from "./session-view.ts";

export const ClientEvent = z.discriminatedUnion("type", [
  /** First on every connection, and after every change. */
  z.object({ type: z.literal("session"), session: SessionView }),
  /** A message is new or has changed; the last one of an id counts. */
  z.object({ type: z.literal("message"), message: MessageView }),
  /** A part of the answer that is being written, in a workflow that of the step in work; the last one of a part's id counts. */
  z.object({ type: z.literal("part"), messageId: z.string(), part: MessagePart }),
  /** A workflow is new or has changed; without what its steps gave. */
  z.object({ type: z.literal("workflow"), workflow: WorkflowView }),
  /** A step of a workflow has begun or ended; the last one of an index counts. */
  z.object({
    type: z.literal("workflow-step"),
    executionId: z.string(),
    index: z.int().nonnegative(),
    step: WorkflowStepView,
  }),
  z.object({ type: z.literal("turn"), turn: TurnRecord }),
  z.object({ type: z.literal("permission-asked"), permission: PermissionView }),
  /** Without `reply`: the turn ended before anybody answered. */
  z.object({ type: z.literal("permission-closed"), permissionId: z.string(), reply: PermissionReply.optional() }),
  z.object({ type: z.literal("question-asked"), question: QuestionView }),
  /** With `null` somebody declined to answer; without `answers` the turn ended before anybody did. */
  z.object({ type: z.literal("question-closed"), questionId: z.string(), answers: QuestionAnswers.nullish() }),
  /** Spans of these traces have begun or ended. */
  z.object({ type: z.literal("traces"), traceIds: z.array(z.string()) }),
  /** What the client sent was not understood. */
  z.object({ type: z.literal("error"), error: z.string() }),
]);
export type ClientEvent = z.infer<typeof ClientEvent>;
