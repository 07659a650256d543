/** What the Worker asks of a session's object. Plain data both ways; a failure that is expected is a value. */
import type { QuestionAnswers } from "@valet/shared/protocol/runner-link";
import type {
  AcceptedMessage,
  AcceptedWorkflow,
  ClearedQueue,
  CreateSession,
  MessageList,
  SendMessage,
  StartWorkflow,
  TraceList,
  TurnList,
  WorkflowList,
} from "@valet/shared/protocol/session-api";
import type { MessageView, PermissionReply, SessionView, WorkflowView } from "@valet/shared/protocol/session-view";
import type { Result } from "./durable-objects/result.ts";

/** On whose behalf a call is made, and the span of the request that it is part of. */
export interface CallContext {
  readonly ownerId: string;
  readonly traceparent?: string;
  readonly tracestate?: string;
}

type Answer<T> = Promise<Result<T>>;

/** Lists take the cursor of their next page as they gave it. */
export interface SessionCalls {
  create(input: CreateSession & { readonly id: string }, ctx: CallContext): Answer<SessionView>;
  view(): Answer<SessionView>;
  sendMessage(input: SendMessage, ctx: CallContext): Answer<AcceptedMessage>;
  messages(cursor?: string): Answer<MessageList>;
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
  readTrace(traceId: string): Answer<ReadableStream<Uint8Array>>;
  /** Lines of OTLP/JSON. */
  spans(): Promise<ReadableStream<Uint8Array>>;
  /** Takes spans of the session that the Worker made, as OTLP/JSON text. */
  recordSpans(otlpJson: string): Promise<void>;
  /** WebSockets: `/client` and `/runner`. */
  fetch(request: Request): Promise<Response>;
}
