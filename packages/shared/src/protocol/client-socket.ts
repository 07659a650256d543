/**
 * What a client's WebSocket is told about a session, as it happens. One JSON object a text frame. A client sends `ping`, which the
 * platform answers with `pong`, and answers `sync` with a {@link ClientMessage}; everything else goes through the HTTP API.
 *
 * A client that comes in the middle of a turn is told first, whole, what there is of the answers that are being written. A part
 * that is long and grows is told by what was added to it: `applyPartDelta` gives the part as it is by then, or `undefined` to a
 * client that has missed something, which reads the message by the API or waits for the next whole part, some seconds.
 *
 * A client of which 2 MiB are unread, as far as its answers to `sync` say, is closed with the code 1013, and may come again.
 */
import { z } from "zod";
import { MessagePart } from "./message-part.ts";
import { PartDelta } from "./part-delta.ts";
import { QuestionAnswers } from "./runner-link.ts";
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
  /** What has been added to such a part. */
  z.object({ type: z.literal("part-delta"), messageId: z.string(), delta: PartDelta }),
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
  /** Asks the client to say that it has read this far: to answer `{"type":"synced","read":…}` with the same number. */
  z.object({ type: z.literal("sync"), read: z.int().nonnegative() }),
  /** What the client sent was not understood. */
  z.object({ type: z.literal("error"), error: z.string() }),
]);
export type ClientEvent = z.infer<typeof ClientEvent>;

/** What a client says, when it is asked by `sync`. */
export const ClientMessage = z.object({ type: z.literal("synced"), read: z.int().nonnegative() });
export type ClientMessage = z.infer<typeof ClientMessage>;
