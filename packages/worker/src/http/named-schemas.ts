/** The names of schemas in the OpenAPI document. A generated client has a type of each name. */

import { zodToOpenAPIRegistry } from "@asteasolutions/zod-to-openapi";
import { Problem } from "@valet/shared/http/problem";
import { AgentQuestion } from "@valet/shared/protocol/agent-question";
import { CertificateState, MessageCertificate, TraceCertificate } from "@valet/shared/protocol/certificate";
import { ChangeFacts, CommitView, DiffView, FileChange, TurnChangesView } from "@valet/shared/protocol/changes";
import { ClientEvent } from "@valet/shared/protocol/client-socket";
import { FailureView } from "@valet/shared/protocol/failure";
import { FoundId, FoundIds } from "@valet/shared/protocol/found-ids";
import { MessagePart } from "@valet/shared/protocol/message-part";
import { AttentionItem, AttentionList, NowView, QueuedNow, RunNow, StepNow } from "@valet/shared/protocol/now";
import { CreatePageSession, PageSession, PageTicket } from "@valet/shared/protocol/page-sessions";
import { PartDelta } from "@valet/shared/protocol/part-delta";
import * as api from "@valet/shared/protocol/session-api";
import * as views from "@valet/shared/protocol/session-view";
import { SystemView } from "@valet/shared/protocol/system";
import { CreatedToken, CreateToken, TokenList, TokenView } from "@valet/shared/protocol/tokens";
import { SkeletonChunk, TraceSkeleton } from "@valet/shared/protocol/trace-skeleton";
import { Distribution, OwnerTurns, TurnGroup, TurnStats } from "@valet/shared/protocol/turn-stats";
import { VerdictView } from "@valet/shared/protocol/verdict";
import { WarningView } from "@valet/shared/protocol/warnings";
import * as hooks from "@valet/shared/protocol/webhooks";
import {
  Avoidable,
  CoursePiece,
  Evidence,
  ModelMoney,
  Money,
  OtherSession,
  OtherWork,
  Part,
  SessionMoney,
  SpanReference,
  WhyFailure,
  WhyView,
} from "@valet/shared/protocol/why";
import { z } from "zod";

const {
  AcceptedMessage,
  AcceptedWorkflow,
  Backlink,
  BacklinkList,
  ClearedQueue,
  CreateSession,
  CreateTicket,
  FamilyMember,
  FamilyView,
  FoundSpans,
  Health,
  MessageList,
  ReplyPermission,
  ReplyQuestion,
  ResentSpans,
  SendMessage,
  SessionList,
  SessionTurn,
  StartWorkflow,
  Ticket,
  TraceList,
  TraceSummaryView,
  TraceView,
  TurnList,
  WorkflowList,
} = api;
const {
  CreateWebhook,
  SessionAttentionEvent,
  SessionStateEvent,
  TestedWebhook,
  TurnEndedEvent,
  WebhookList,
  WebhookTestEvent,
  WebhookView,
  WebhookWithSecret,
} = hooks;
const { MessageView, PermissionView, QuestionView, SessionStatus, SessionView, TurnRecord, WorkflowView } = views;

const NAMED: Readonly<Record<string, z.ZodType>> = {
  // It holds parts of its own kind, which a document can only say by name.
  AcceptedMessage,
  AcceptedWorkflow,
  AgentQuestion,
  CreatedToken,
  CreateToken,
  TokenList,
  TokenView,
  AttentionItem,
  AttentionList,
  Avoidable,
  Backlink,
  BacklinkList,
  CertificateState,
  ChangeFacts,
  ClearedQueue,
  ClientEvent,
  CommitView,
  CreatePageSession,
  CreateSession,
  CreateTicket,
  DiffView,
  CreateWebhook,
  Distribution,
  Evidence,
  FailureView,
  FamilyMember,
  FamilyView,
  FileChange,
  FoundId,
  FoundIds,
  FoundSpans,
  Health,
  MessageCertificate,
  MessageList,
  MessagePart,
  MessageView,
  ModelMoney,
  Money,
  NowView,
  OtherSession,
  OtherWork,
  OwnerTurns,
  PageSession,
  PageTicket,
  CoursePiece,
  Part,
  PartDelta,
  PermissionView,
  Problem,
  QuestionView,
  QueuedNow,
  ReplyPermission,
  ReplyQuestion,
  ResentSpans,
  RunNow,
  SendMessage,
  SessionAttentionEvent,
  SessionList,
  SessionMoney,
  SessionStateEvent,
  SessionStatus,
  SessionTurn,
  SessionView,
  SkeletonChunk,
  SpanReference,
  StartWorkflow,
  StepNow,
  SystemView,
  TestedWebhook,
  Ticket,
  TraceCertificate,
  TraceList,
  TraceSkeleton,
  TraceSummaryView,
  TraceView,
  TurnChangesView,
  TurnEndedEvent,
  TurnGroup,
  TurnList,
  TurnRecord,
  TurnStats,
  VerdictView,
  WarningView,
  WebhookList,
  WebhookTestEvent,
  WebhookView,
  WebhookWithSecret,
  WhyFailure,
  WhyCoursePiece: CoursePiece,
  WhyPart: Part,
  WhyView,
  WorkflowList,
  WorkflowView,
};

/** Returns a schema for the document that no route refers to. */
export function schemaObject(schema: z.ZodType): object {
  const { $schema: _, id: __, ...object } = z.toJSONSchema(schema);
  return object;
}

/** Gives the schemas their names. Called once, before the document is made. */
export function nameSchemas(): void {
  for (const [refId, schema] of Object.entries(NAMED)) zodToOpenAPIRegistry.add(schema, { _internal: { refId } });
}
