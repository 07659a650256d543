/** The Durable Object of a session: its calls, its sockets and its alarm. Each becomes one transaction over the rooms. */
import { DurableObject } from "cloudflare:workers";
import { problemResponse } from "@valet/shared/http/problem";
import type { QuestionAnswers } from "@valet/shared/protocol/agent-question";
import { apiProblem } from "@valet/shared/protocol/api-problems";
import type { MessageCertificate, TraceCertificate } from "@valet/shared/protocol/certificate";
import type { DiffQuery } from "@valet/shared/protocol/changes";
import type { FoundIds } from "@valet/shared/protocol/found-ids";
import type { NowView } from "@valet/shared/protocol/now";
import type {
  AcceptedMessage,
  AcceptedWorkflow,
  BacklinkList,
  ClearedQueue,
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
import { extractFromHeaders } from "@valet/shared/tracing";
import type { z } from "zod";
import type { Env } from "../bindings.ts";
import { invalidText } from "../config.ts";
import { whenDeleted } from "../database/deleted-sessions.ts";
import type { FamilySpans, FamilySpansRequest } from "./answers/family-spans.ts";
import { findIds } from "./answers/found-ids.ts";
import { askerOf, callerOf, originOf, userOf } from "./caller.ts";
import type { CapacityStanding, CapacityState } from "./capacity/capacity-calls.ts";
import { reportFailure, type SessionParts } from "./compose.ts";
import type { CallContext, DiffAnswer, NewSession, SessionCalls, SkeletonAnswer } from "./contract.ts";
import { type ListOrder, listMessages, listTurns, listWorkflows } from "./conversation/session-lists.ts";
import { ok, type Result } from "./core/result.ts";
import { type ChildReport, type ParentMessage, reportText } from "./family/family.ts";
import { refuseDeleted } from "./family/peers.ts";
import { answerClose } from "./link/connection.ts";
import { refuseStranger } from "./link/runner-door.ts";
import { createSession } from "./session-creation.ts";
import { NOT_FOUND, SessionRooms } from "./session-rooms.ts";
import { TraceCalls } from "./trace-calls.ts";

/** How long after an alarm the next one is, while a variable of the deployment is invalid. */
const INVALID_RETRY_MS = 60_000;

export class SessionAgent extends DurableObject<Env> implements SessionCalls {
  readonly #rooms: SessionRooms;
  readonly #traces: TraceCalls;

  /** @param parts the rooms; only tests compose them differently */
  constructor(ctx: DurableObjectState, env: Env, parts?: SessionParts) {
    super(ctx, env);
    this.#rooms = new SessionRooms(ctx, env, parts);
    this.#traces = new TraceCalls(this.#rooms);
  }

  async create({ isNewId, ...input }: NewSession, ctx: CallContext): Promise<Result<SessionView>> {
    const deletedAt =
      isNewId || this.#rooms.existing !== undefined ? undefined : await whenDeleted(this.env.DB, input.id);
    return deletedAt === undefined ? createSession(this.#rooms.parts, input, ctx) : refuseDeleted(deletedAt);
  }

  async view(): Promise<Result<SessionView>> {
    return this.#rooms.read(({ view }) => ok(view()));
  }

  async now(): Promise<Result<NowView>> {
    await this.#rooms.existing?.loadForNow();
    // The session may have been deleted while D1 was asked.
    return this.#rooms.read(({ viewOfNow }) => {
      const view = viewOfNow();
      return view === undefined ? NOT_FOUND : ok(view);
    });
  }

  /** Queues a message, or refuses it. A known id returns the existing message, in whatever state the session is. */
  async sendMessage(input: SendMessage, ctx: CallContext): Promise<Result<AcceptedMessage>> {
    return this.#rooms.change(
      ctx,
      ({ intake }) => intake.takeMessage(input, { parent: callerOf(ctx), userId: userOf(ctx) }),
      ({ messageId }) => ({ "valet.message.id": messageId }),
    );
  }

  async messages(cursor?: string, order?: ListOrder, from?: string): Promise<Result<z.infer<typeof MessageList>>> {
    return this.#rooms.read(({ state, queue, intake, conversation }) => {
      const first = from === undefined ? undefined : intake.find("message", from);
      if (first?.ok === false) return first;
      const place = { sessionId: state.record.id, cursor, order, from: first?.value.seq };
      return listMessages(queue.jobs, conversation, place);
    });
  }

  async message(messageId: string): Promise<Result<MessageView>> {
    return this.#rooms.read(({ intake, conversation }) => {
      const row = intake.find("message", messageId);
      return row.ok ? ok(conversation.view(row.value)) : row;
    });
  }

  /** Withdraws a queued message. Idempotent. */
  async withdraw(messageId: string, ctx: CallContext): Promise<Result<MessageView>> {
    return this.#rooms.change(ctx, ({ intake, conversation }) => {
      const row = intake.withdraw("message", messageId, askerOf(ctx));
      return row.ok ? ok(conversation.view(row.value)) : row;
    });
  }

  /** Queues a workflow, or refuses it. A known id returns the existing execution. */
  async startWorkflow(input: StartWorkflow, ctx: CallContext): Promise<Result<AcceptedWorkflow>> {
    return this.#rooms.change(
      ctx,
      ({ intake }) => intake.takeWorkflow(input, askerOf(ctx)),
      ({ executionId }) => ({ "valet.workflow.execution.id": executionId }),
    );
  }

  async workflows(cursor?: string, order?: ListOrder): Promise<Result<z.infer<typeof WorkflowList>>> {
    return this.#rooms.read(({ state, queue, workflows }) =>
      listWorkflows(queue.jobs, workflows, { sessionId: state.record.id, cursor, order }),
    );
  }

  /** Returns one execution, with the output of its steps. */
  async workflow(executionId: string): Promise<Result<WorkflowView>> {
    return this.#rooms.read(({ intake, workflows }) => {
      const row = intake.find("workflow", executionId);
      return row.ok ? ok(workflows.view(row.value, true)) : row;
    });
  }

  /** Withdraws a queued workflow. Idempotent. */
  async withdrawWorkflow(executionId: string, ctx: CallContext): Promise<Result<WorkflowView>> {
    return this.#rooms.change(ctx, ({ intake, workflows }) => {
      const row = intake.withdraw("workflow", executionId, askerOf(ctx));
      return row.ok ? ok(workflows.view(row.value)) : row;
    });
  }

  async clearQueue(ctx: CallContext): Promise<Result<z.infer<typeof ClearedQueue>>> {
    return this.#rooms.change(ctx, ({ attempts }) => {
      return ok({ withdrawn: attempts.endQueued("aborted", "queue_cleared", askerOf(ctx)) });
    });
  }

  async hibernate(ctx: CallContext): Promise<Result<SessionView>> {
    return this.#rooms.changeSession(ctx, ({ lifecycle }) => lifecycle.hibernate("requested", askerOf(ctx)));
  }

  async wake(ctx: CallContext): Promise<Result<SessionView>> {
    return this.#rooms.changeSession(ctx, ({ lifecycle }) => lifecycle.wake(askerOf(ctx)));
  }

  /** Aborts the running jobs of every channel. Queued jobs stay. */
  async abort(ctx: CallContext): Promise<Result<SessionView>> {
    return this.#rooms.changeSession(ctx, ({ attempts }) => {
      attempts.stop("user_abort", askerOf(ctx));
      return ok(undefined);
    });
  }

  async terminate(ctx: CallContext): Promise<Result<SessionView>> {
    return this.#rooms.changeSession(ctx, ({ lifecycle }) => {
      lifecycle.terminate("requested", askerOf(ctx));
      return ok(undefined);
    });
  }

  async deleteSession(ctx: CallContext): Promise<Result<SessionView>> {
    return this.#rooms.changeSession(ctx, ({ deletion }) => {
      deletion.begin({ reason: "requested", by: userOf(ctx), cause: callerOf(ctx) });
      return ok(undefined);
    });
  }

  /** Answers a permission request of the agent. */
  async replyPermission(permissionId: string, reply: PermissionReply, ctx: CallContext): Promise<Result<SessionView>> {
    return this.#rooms.readSession(({ replies }) => replies.permission(permissionId, reply, userOf(ctx)));
  }

  /** Answers the agent's questions. @param answers `null` declines to answer: the turn ends, as after a rejected permission */
  async replyQuestion(
    questionId: string,
    answers: QuestionAnswers | null,
    ctx: CallContext,
  ): Promise<Result<SessionView>> {
    return this.#rooms.readSession(({ replies }) => replies.question(questionId, answers, userOf(ctx)));
  }

  async why(kind: "message" | "workflow", id: string): Promise<Result<WhyView>> {
    const parts = this.#rooms.existing;
    if (parts === undefined) return this.#rooms.refusal;
    const row = parts.intake.find(kind, id);
    return row.ok ? ok(await parts.whyAnswer.of(row.value)) : row;
  }

  async familySpans(request: FamilySpansRequest, { ownerId }: CallContext): Promise<Result<FamilySpans>> {
    return this.#rooms.read(({ state, whyAnswer }) =>
      state.record.ownerId === ownerId ? ok(whyAnswer.forFamily(request)) : NOT_FOUND,
    );
  }

  async turns(cursor?: string): Promise<Result<z.infer<typeof TurnList>>> {
    return this.#rooms.read(({ state, records, traces: { certificates }, exporter }) => {
      const position = exporter.position();
      const place = { sessionId: state.record.id, cursor };
      return listTurns(records, (record) => certificates.stateOfTurn(record, position), place);
    });
  }

  async readDiff(query: DiffQuery): Promise<Result<DiffAnswer>> {
    return this.#rooms.read(({ diff }) => diff.read(query));
  }

  async findIds(prefix: string): Promise<Result<FoundIds>> {
    return this.#rooms.read(({ queue, records, traces }) =>
      ok(findIds({ jobs: queue.jobs, records, traces: traces.reader }, prefix)),
    );
  }

  async traces(cursor?: string): Promise<Result<z.infer<typeof TraceList>>> {
    return this.#traces.list(cursor);
  }

  async readTrace(traceId: string, cursor?: string): Promise<Result<ReadableStream<Uint8Array>>> {
    return this.#traces.read(traceId, cursor);
  }

  async readSkeleton(traceId: string, after?: string, knownTags?: readonly string[]): Promise<Result<SkeletonAnswer>> {
    return this.#traces.skeleton(traceId, after, knownTags);
  }

  async readSpan(traceId: string, spanId: string): Promise<Result<string>> {
    return this.#traces.span(traceId, spanId);
  }

  async searchTrace(traceId: string, query: string, cursor?: string): Promise<Result<FoundSpans>> {
    return this.#traces.search(traceId, query, cursor);
  }

  async readBacklinks(traceId: string, cursor?: string): Promise<Result<BacklinkList>> {
    return this.#traces.backlinks(traceId, cursor);
  }

  async certifyTrace(traceId: string, withIds?: boolean): Promise<Result<TraceCertificate>> {
    return this.#traces.certify(traceId, withIds);
  }

  async certifyMessage(messageId: string): Promise<Result<MessageCertificate>> {
    return this.#traces.certifyMessage(messageId);
  }

  async spans(cursor?: string): Promise<Result<ReadableStream<Uint8Array>>> {
    return this.#traces.spans(cursor);
  }

  async resend(): Promise<Result<ResentSpans>> {
    return this.#traces.resend();
  }

  async recordSpans(otlpJson: string): Promise<boolean> {
    const parts = this.#rooms.existing;
    parts?.transactions.run(() => parts.traces.acceptRequestSpans(otlpJson));
    return parts !== undefined;
  }

  async checkRetention(): Promise<void> {
    const parts = this.#rooms.existing;
    parts?.transactions.run(() => parts.deletion.checkRetention());
  }

  async adoptChild(childId: string, ctx: CallContext): Promise<Result<{ readonly depth: number }>> {
    return this.#rooms.changeFamily(ctx, ({ children }) => children.adopt(childId));
  }

  async releaseChild(childId: string, ctx: CallContext): Promise<Result<void>> {
    return this.#rooms.changeFamily(ctx, ({ children }) => ok(children.release(childId)));
  }

  /** Queues a child's report as a message to the agent. It wakes the session, like any message. */
  async takeChildReport(childReport: ChildReport, ctx: CallContext): Promise<Result<void>> {
    return this.#rooms.changeFamily(ctx, ({ children, intake }) => {
      const channel = children.takeReport(childReport);
      if (channel === undefined) return ok(undefined);
      const { childSessionId, reportedBy } = childReport;
      const origin = { link: "caused_by", context: extractFromHeaders({ ...reportedBy }), childSessionId } as const;
      const message: SendMessage = {
        id: childReport.id,
        content: reportText(childReport),
        channel,
        queueMode: "followup",
      };
      const taken = intake.takeMessage(message, { origin, userId: userOf(ctx) });
      return taken.ok ? ok(undefined) : taken;
    });
  }

  async takeParentMessage({ id, parentSessionId, content, sentBy }: ParentMessage, ctx: CallContext) {
    return this.#rooms.changeFamily(ctx, ({ state, intake }) => {
      if (state.record.parentSessionId !== parentSessionId) return NOT_FOUND;
      const origin = originOf("caused_by", sentBy, parentSessionId);
      const taken = intake.takeMessage({ id, content, queueMode: "followup" }, { origin, userId: userOf(ctx) });
      return taken.ok ? ok(undefined) : taken;
    });
  }

  async endAsChild(parentSessionId: string, reason: TerminateReason, ctx: CallContext): Promise<Result<void>> {
    if (this.#rooms.existing === undefined) return this.#neverMake();
    return this.#rooms.changeFamily(ctx, ({ state, lifecycle }) => {
      if (state.record.parentSessionId !== parentSessionId) return NOT_FOUND;
      return ok(lifecycle.terminate(reason, askerOf(ctx)));
    });
  }

  async deleteAsChild(parentSessionId: string, deletedBy: string | null, ctx: CallContext): Promise<Result<void>> {
    if (this.#rooms.existing === undefined) return this.#neverMake();
    return this.#rooms.changeFamily(ctx, ({ state, deletion }) => {
      if (state.record.parentSessionId !== parentSessionId) return NOT_FOUND;
      return ok(deletion.begin({ reason: "parent_session_deleted", by: deletedBy, cause: callerOf(ctx) }));
    });
  }

  /** Refuses the session's creation from now on; a deleted one cannot be created in any case. */
  async #neverMake(): Promise<Result<void>> {
    const name = this.ctx.id.name ?? "";
    if (this.#rooms.composed?.deletion.isDone || (await whenDeleted(this.env.DB, name)) !== undefined)
      return ok(undefined);
    const { transactions, reports } = this.#rooms.parts;
    return ok(transactions.run(() => reports.neverMake()));
  }

  async capacity(name: string, standing?: CapacityStanding): Promise<CapacityState | null> {
    return this.#rooms.existing?.capacityAnswers.answer(name, standing) ?? null;
  }

  async yieldSlot(name: string): Promise<boolean> {
    return this.#rooms.existing?.capacityAnswers.yieldSlot(name) ?? false;
  }

  /** Accepts WebSockets: `/runner` for the sandbox's runner, `/client` for clients that watch the session. */
  override async fetch(request: Request): Promise<Response> {
    const { invalid } = this.#rooms;
    if (invalid !== undefined) return new Response(`${invalidText(invalid)}\n`, { status: 500 });
    const { existing } = this.#rooms;
    const { pathname } = new URL(request.url);
    if (pathname === "/runner") return existing?.link.accept(request) ?? refuseStranger(request);
    if (existing === undefined) return problemResponse(apiProblem("session-not-found"));
    const { clients, parts, view } = existing;
    if (pathname === "/client")
      return clients.accept(request, { type: "session", session: view() }, ...parts.snapshot());
    return new Response("There is nothing here.", { status: 404 });
  }

  override webSocketMessage(socket: WebSocket, data: string | ArrayBuffer): void {
    try {
      const { link, clients } = this.#rooms.existing ?? {};
      if (link?.owns(socket)) link.receive(socket, data);
      else if (clients?.owns(socket)) clients.onFrame(socket, data);
    } catch (error) {
      // An internal error while handling one frame: the transaction was rolled back, and the object continues.
      reportFailure(error);
    }
  }

  override webSocketClose(socket: WebSocket, code: number): void {
    answerClose(socket, code);
    this.#onSocketGone(socket);
  }

  override webSocketError(socket: WebSocket): void {
    this.#onSocketGone(socket);
  }

  /** Runs the timers that are due, starts exports, and sets the next alarm. Does not wait for the network, and never throws. */
  override alarm(): void {
    const { composed, invalid } = this.#rooms;
    if (invalid !== undefined) {
      // The timers stay as they are. The first object that can be composed runs what is due.
      this.ctx.storage.setAlarm(Date.now() + INVALID_RETRY_MS).catch(reportFailure);
      return;
    }
    // The alarm of an object without rooms was set by nobody that is left.
    if (composed === undefined || composed.deletion.isDone) return;
    const { timers, traces, exporter, boundary, recordExportProblem, runExport, attention, now, background } = composed;
    try {
      if ((traces.dueAtMs() ?? Infinity) <= now()) boundary();
      if ((exporter.dueAtMs() ?? Infinity) <= now()) background(runExport());
      recordExportProblem();
    } catch (error) {
      reportFailure(error);
    }
    timers.fire();
    attention.check();
  }

  #onSocketGone(socket: WebSocket): void {
    try {
      const { link } = this.#rooms.existing ?? {};
      if (link?.owns(socket)) link.closed(socket);
    } catch (error) {
      reportFailure(error);
    }
  }
}
