/**
 * The live events of a session on a client's WebSocket. Each text frame is one JSON object. A client sends `ping`, which the
 * platform answers with `pong`, and answers `sync` with a {@link ClientMessage}; for everything else it uses the HTTP API.
 *
 * A client that connects during a turn first receives the existing parts of unfinished answers. For a long part that grows, later
 * events hold only what was added: `applyPartDelta` returns the new part, or `undefined` if the client has missed something. Then
 * it reads the message over the API, or waits some seconds for the next whole part.
 *
 * The object closes the socket of a client with the code 1013 if, according to its answers to `sync`, the client has 2 MiB unread
 * and has not answered for 5 s, or has 8 MiB unread. The client may connect again.
 */
import { z } from "zod";
import { QuestionAnswers } from "./agent-question.ts";
import { MessagePart } from "./message-part.ts";
import { PartDelta } from "./part-delta.ts";
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
import { SkeletonChunk } from "./trace-skeleton.ts";

export const ClientEvent = z.discriminatedUnion("type", [
  /** First on every connection, and after every change. */
  z.object({ type: z.literal("session"), session: SessionView }),
  /** A message is new or has changed; the last event of an id counts. */
  z.object({ type: z.literal("message"), message: MessageView }),
  /** A part of an unfinished answer, or of the running step's answer in a workflow; the last event of a part's id counts. */
  z.object({ type: z.literal("part"), messageId: z.string(), part: MessagePart }),
  /** An addition to such a part. */
  z.object({ type: z.literal("part-delta"), messageId: z.string(), delta: PartDelta }),
  /** A workflow is new or has changed. Without the output of its steps. */
  z.object({ type: z.literal("workflow"), workflow: WorkflowView }),
  /** A step of a workflow has begun or ended; the last event of an index counts. */
  z.object({
    type: z.literal("workflow-step"),
    executionId: z.string(),
    index: z.int().nonnegative(),
    step: WorkflowStepView,
  }),
  z.object({ type: z.literal("turn"), turn: TurnRecord }),
  z.object({ type: z.literal("permission-asked"), permission: PermissionView }),
  /** Without `reply`, the turn ended before anybody answered. */
  z.object({
    type: z.literal("permission-closed"),
    permissionId: z.string(),
    reply: PermissionReply.optional(),
    /** The user who answered. */
    answeredBy: z.string().optional(),
  }),
  z.object({ type: z.literal("question-asked"), question: QuestionView }),
  /** With `null`, somebody declined to answer; without `answers`, the turn ended before anybody answered. */
  z.object({
    type: z.literal("question-closed"),
    questionId: z.string(),
    answers: QuestionAnswers.nullish(),
    /** The user who answered. */
    answeredBy: z.string().optional(),
  }),
  /** Spans have begun, changed or ended: the changed rows of their traces' skeletons. In each skeleton this is one more chunk. */
  z.object({
    type: z.literal("spans"),
    traces: z.array(
      z.object({
        traceId: z.string(),
        chunk: SkeletonChunk,
        /** The ids of spans that are no longer open and have no end, since it was lost. The skeleton has no rows of them any more. */
        lost: z.array(z.string()).optional(),
      }),
    ),
  }),
  /** Asks the client to confirm that it has read this far: it answers `{"type":"synced","read":…}` with the same number. */
  z.object({ type: z.literal("sync"), read: z.int().nonnegative() }),
  /** The client's frame is invalid. */
  z.object({ type: z.literal("error"), error: z.string() }),
]);
export type ClientEvent = z.infer<typeof ClientEvent>;

/** A client's answer to `sync`. */
export const ClientMessage = z.object({ type: z.literal("synced"), read: z.int().nonnegative() });
export type ClientMessage = z.infer<typeof ClientMessage>;
