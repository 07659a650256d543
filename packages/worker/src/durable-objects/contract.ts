/** What the Worker asks of a session's object. Plain data both ways; a failure that is expected is a value. */
import type { QuestionAnswers } from "@valet/shared/protocol/runner-link";
import type {
  AcceptedMessage,
  AcceptedWorkflow,
  ClearedQueue,
  CreateSession,
  MessageList,
  ResentSpans,
  SendMessage,
  StartWorkflow,
  TraceList,
  TurnList,
  WorkflowList,
} from "@valet/shared/protocol/session-api";
import type { MessageView, PermissionReply, SessionView, WorkflowView } from "@valet/shared/protocol/session-view";
import type { TerminateReason } from "@valet/shared/spans";
import type { CapacityHolder } from "./capacity/capacity-calls.ts";
import type { Result } from "./core/result.ts";
import type { ChildOrigin, ChildReport, ParentMessage } from "./family/family.ts";

/** On whose behalf a call is made, and the span of the request that it is part of. */
export interface CallContext {
  readonly ownerId: string;
  readonly traceparent?: string;
  readonly tracestate?: string;
}

export interface NewSession extends CreateSession {
  readonly id: string;
  /** Of a session that has a parent. */
  readonly origin?: ChildOrigin;
}

type Answer<T> = Promise<Result<T>>;

/** Lists take the cursor of their next page as they gave it. */
export interface SessionCalls extends CapacityHolder {
  create(input: NewSession, ctx: CallContext): Answer<SessionView>;
  view(): Answer<SessionView>;
  sendMessage(input: SendMessage, ctx: CallContext): Answer<AcceptedMessage>;
  /** @param order which end a first page begins at: the oldest message unless it is `desc` */
  messages(cursor?: string, order?: "asc" | "desc"): Answer<MessageList>;
  withdraw(messageId: string, ctx: CallContext): Answer<MessageView>;
  startWorkflow(input: StartWorkflow, ctx: CallContext): Answer<AcceptedWorkflow>;
  workflows(cursor?: string): Answer<WorkflowList>;
  workflow(executionId: string): Answer<WorkflowView>;
  withdrawWorkflow(executionId: string, ctx: CallContext): Answer<WorkflowView>;
  clearQueue(ctx: CallContext): Answer<ClearedQueue>;
  hibernate(ctx: CallContext): Answer<SessionView>;
  wake(ctx: CallContext): Answer<SessionView>;
  abort(ctx: CallContext): Answer<SessionView>;
  terminate(ctx: CallContext): Answer<SessionView>;
  replyPermission(permissionId: string, reply: PermissionReply, ctx: CallContext): Answer<SessionView>;
  replyQuestion(questionId: string, answers: QuestionAnswers | null, ctx: CallContext): Answer<SessionView>;
  turns(cursor?: string): Answer<TurnList>;
  traces(cursor?: string): Answer<TraceList>;
  /** OTLP/JSON text. Not named `trace`: the platform keeps that name to itself and no call of it arrives. */
  readTrace(traceId: string, cursor?: string): Answer<ReadableStream<Uint8Array>>;
  /** Lines of OTLP/JSON. */
  spans(cursor?: string): Promise<ReadableStream<Uint8Array>>;
  /** Sends what waits for the backend, also after the session has given up; waits for that for some seconds. */
  resend(): Answer<ResentSpans>;
  /** Takes spans of the session that the Worker made, as OTLP/JSON text. */
  recordSpans(otlpJson: string): Promise<void>;

  // What sessions of one family ask of each other. Each call may come twice.

  /** Takes a session that a person makes into its parent's family, before it is made. */
  adoptChild(childId: string, ctx: CallContext): Answer<{ readonly depth: number }>;
  /** It was not made after all. */
  releaseChild(childId: string, ctx: CallContext): Answer<void>;
  takeChildReport(report: ChildReport, ctx: CallContext): Answer<void>;
  takeParentMessage(message: ParentMessage, ctx: CallContext): Answer<void>;
  /** Terminates the session for its parent, or sees to it that it is never made. */
  endAsChild(parentSessionId: string, reason: TerminateReason, ctx: CallContext): Answer<void>;

  /** WebSockets: `/client` and `/runner`. */
  fetch(request: Request): Promise<Response>;
}
