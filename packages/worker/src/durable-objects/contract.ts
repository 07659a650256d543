/** The calls of a session's object. Arguments and results are plain data; an expected failure is a value, not an exception. */

import type { QuestionAnswers } from "@valet/shared/protocol/agent-question";
import type { MessageCertificate, TraceCertificate } from "@valet/shared/protocol/certificate";
import type { DiffQuery, TurnChangesView } from "@valet/shared/protocol/changes";
import type { FoundIds } from "@valet/shared/protocol/found-ids";
import type { NowView } from "@valet/shared/protocol/now";
import type {
  AcceptedMessage,
  AcceptedWorkflow,
  BacklinkList,
  ClearedQueue,
  CreateSession,
  FoundSpans,
  MessageList,
  ResentSpans,
  SendMessage,
  StartWorkflow,
  TraceList,
  TurnList,
  WorkflowList,
} from "@valet/shared/protocol/session-api";
import type { MessageView, PermissionReply, SessionView, WorkflowView } from "@valet/shared/protocol/session-view";
import type { WhyView } from "@valet/shared/protocol/why";
import type { TerminateReason } from "@valet/shared/spans";
import type { FamilySpans, FamilySpansRequest } from "./answers/family-spans.ts";
import type { CapacityHolder } from "./capacity/capacity-calls.ts";
import type { Result } from "./core/result.ts";
import type { ChildOrigin, ChildReport, ParentMessage } from "./family/family.ts";

/** The owner and the user on whose behalf a call is made, and the span of the request that it is part of. */
export interface CallContext {
  readonly ownerId: string;
  /** The user on whose behalf the owner's token speaks; the owner by default. */
  readonly userId?: string;
  readonly traceparent?: string;
  readonly tracestate?: string;
  /** The request's span, if the call may end it: in the transaction in which it does what is asked. */
  readonly request?: RequestToEnd;
}

export interface RequestToEnd {
  /** The open span, in the format of `serialiseSpan`. */
  readonly span: string;
  /** The status of the answer once the call has done what is asked. */
  readonly status: number;
}

export interface NewSession extends CreateSession {
  readonly id: string;
  /** Whether the id was drawn for this call. Any other may be that of a deleted session, which is not created again. */
  readonly isNewId?: true;
  /** A digest of what was asked for with an id of the caller's. A session that exists answers only the same again. */
  readonly digest?: string;
  /** Present if the session has a parent. */
  readonly origin?: ChildOrigin;
}

type Answer<T> = Promise<Result<T>>;

export interface SkeletonAnswer {
  readonly etag: string;
  /** JSON of a `TraceSkeleton`; absent if the caller has it already. */
  readonly text?: string;
}

/** The turns of a diff, oldest first, with their patches compressed (gzip). */
export interface DiffAnswer {
  readonly sessionId: string;
  /** Turns at the beginning of the range that the answer leaves out. */
  readonly omittedTurns: number;
  readonly turns: readonly { readonly view: TurnChangesView; readonly patch: Uint8Array | undefined }[];
}

/** A list's `cursor` is the `nextCursor` of its page before. */
export interface SessionCalls extends CapacityHolder {
  create(input: NewSession, ctx: CallContext): Answer<SessionView>;
  view(): Answer<SessionView>;
  /** Returns what the session does now, with the verdict on it. */
  now(): Answer<NowView>;
  sendMessage(input: SendMessage, ctx: CallContext): Answer<AcceptedMessage>;
  /**
   * @param order of a first page: it begins with the oldest message, or with the newest if this is `desc`
   * @param from the id of the message that the first page begins with instead
   */
  messages(cursor?: string, order?: "asc" | "desc", from?: string): Answer<MessageList>;
  message(messageId: string): Answer<MessageView>;
  withdraw(messageId: string, ctx: CallContext): Answer<MessageView>;
  startWorkflow(input: StartWorkflow, ctx: CallContext): Answer<AcceptedWorkflow>;
  workflows(cursor?: string, order?: "asc" | "desc"): Answer<WorkflowList>;
  workflow(executionId: string): Answer<WorkflowView>;
  withdrawWorkflow(executionId: string, ctx: CallContext): Answer<WorkflowView>;
  clearQueue(ctx: CallContext): Answer<ClearedQueue>;
  hibernate(ctx: CallContext): Answer<SessionView>;
  wake(ctx: CallContext): Answer<SessionView>;
  abort(ctx: CallContext): Answer<SessionView>;
  terminate(ctx: CallContext): Answer<SessionView>;
  /** Begins to delete the session, in any state. It answers nothing any more once D1 has its tombstone. */
  deleteSession(ctx: CallContext): Answer<SessionView>;
  replyPermission(permissionId: string, reply: PermissionReply, ctx: CallContext): Answer<SessionView>;
  replyQuestion(questionId: string, answers: QuestionAnswers | null, ctx: CallContext): Answer<SessionView>;
  turns(cursor?: string): Answer<TurnList>;
  /** Returns what turns changed. */
  readDiff(query: DiffQuery): Answer<DiffAnswer>;
  /** Says where the time and the money of a message or a workflow went, and why it failed. */
  why(kind: "message" | "workflow", id: string): Answer<WhyView>;
  /** Returns the messages, workflows, turns and traces whose ids begin with a text. */
  findIds(prefix: string): Answer<FoundIds>;
  traces(cursor?: string): Answer<TraceList>;
  /** Returns OTLP/JSON text. It is not named `trace`, since the platform reserves that name and never delivers such a call. */
  readTrace(traceId: string, cursor?: string): Answer<ReadableStream<Uint8Array>>;
  /**
   * Returns a page of a trace's skeleton.
   * @param after the `next` of the page before
   * @param knownTags the ETags that the caller has
   */
  readSkeleton(traceId: string, after?: string, knownTags?: readonly string[]): Answer<SkeletonAnswer>;
  /** Returns one span as OTLP/JSON text. */
  readSpan(traceId: string, spanId: string): Answer<string>;
  /** Returns the ids of spans whose name or attributes contain a text. */
  searchTrace(traceId: string, query: string, cursor?: string): Answer<FoundSpans>;
  /** Returns the links to a trace's spans, of spans that the session has. */
  readBacklinks(traceId: string, cursor?: string): Answer<BacklinkList>;
  /** Says what became of each span of a trace. @param withIds whether the answer has the ids of all known spans */
  certifyTrace(traceId: string, withIds?: boolean): Answer<TraceCertificate>;
  /** Says what became of each span of a message. */
  certifyMessage(messageId: string): Answer<MessageCertificate>;
  /** Returns lines of OTLP/JSON. */
  spans(cursor?: string): Answer<ReadableStream<Uint8Array>>;
  /** Exports waiting spans again, even after the session has given up, and waits some seconds for the result. */
  resend(): Answer<ResentSpans>;
  /**
   * Stores spans of requests that did not end with a change of the session.
   * @param otlpJson OTLP/JSON text
   * @returns false if there is no session that could store them
   */
  recordSpans(otlpJson: string): Promise<boolean>;
  /** Begins the session's deletion if its retention period is over. */
  checkRetention(): Promise<void>;

  // Calls between sessions of one family. Each is idempotent.

  /** Adds a child that a person creates over the API, before it is created. */
  adoptChild(childId: string, ctx: CallContext): Answer<{ readonly depth: number }>;
  /** Removes a child whose creation failed. */
  releaseChild(childId: string, ctx: CallContext): Answer<void>;
  takeChildReport(report: ChildReport, ctx: CallContext): Answer<void>;
  takeParentMessage(message: ParentMessage, ctx: CallContext): Answer<void>;
  /** Tells what the session's store has of work that an answer `why` of another session is about. Changes nothing. */
  familySpans(request: FamilySpansRequest, ctx: CallContext): Answer<FamilySpans>;
  /** Terminates the session for its parent; if it does not exist yet, it can never be created. */
  endAsChild(parentSessionId: string, reason: TerminateReason, ctx: CallContext): Answer<void>;
  /**
   * Deletes the session with its parent; if it does not exist yet, it can never be created.
   * @param deletedBy the user who asked for the parent's deletion
   */
  deleteAsChild(parentSessionId: string, deletedBy: string | null, ctx: CallContext): Answer<void>;

  /** WebSockets: `/client` and `/runner`. */
  fetch(request: Request): Promise<Response>;
}
