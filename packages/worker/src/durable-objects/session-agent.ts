/**
 * The Durable Object of a session: its calls, its sockets and its alarm. What they do is done by the parts; here each becomes
 * one transaction.
 */
import { DurableObject } from "cloudflare:workers";
import type { ClientEvent } from "@valet/shared/protocol/client-socket";
import type { QuestionAnswers, ToRunnerOf } from "@valet/shared/protocol/runner-link";
import type {
  AcceptedMessage,
  AcceptedWorkflow,
  ClearedQueue,
  MessageList,
  SendMessage,
  StartWorkflow,
  TraceList,
  TurnList,
  WorkflowList,
} from "@valet/shared/protocol/session-api";
import type { MessageView, PermissionReply, SessionView, WorkflowView } from "@valet/shared/protocol/session-view";
import type { TerminateReason } from "@valet/shared/spans";
import { extractFromHeaders, type SpanContext } from "@valet/shared/tracing";
import type { z } from "zod";
import type { Env } from "../env.ts";
import type { CallContext, NewSession, SessionCalls } from "../session-calls.ts";
import { type Carrier, type ChildReport, type ParentMessage, reportText } from "./family.ts";
import { newId } from "./ids.ts";
import type { MessageBody, MessageRow, WorkflowBody } from "./message-store.ts";
import type { MessageOrigin } from "./queue-spans.ts";
import { splitCredentials } from "./repository.ts";
import { ok, type Result, refuse } from "./result.ts";
import { listMessages, listTraces, listTurns, listWorkflows } from "./session-lists.ts";
import { BATCH_LIMITS, composeSession, MAIN_CHANNEL, report, type SessionParts } from "./session-parts.ts";
import { NO_LINK } from "./session-state.ts";
import { isTraced } from "./session-tracer.ts";

/** A queue that no person fills. */
const MAX_QUEUED = 500;

const TOO_LARGE = refuse("message-too-large", `Content and attachments may have ${BATCH_LIMITS.bytes} bytes together.`);
const WORKFLOW_TOO_LARGE = refuse("workflow-too-large", `All steps together may have ${BATCH_LIMITS.bytes} bytes.`);
const NO_WORKFLOW = refuse("workflow-not-found", "The session has no execution of this id.");
const ID_TAKEN = refuse(
  "id-taken",
  "The session has a message or an execution of this id, and it is not what was sent.",
);
const NOT_FOUND = refuse("session-not-found", "There is no session of this id.");

export class SessionAgent extends DurableObject<Env> implements SessionCalls {
  readonly #parts: SessionParts;

  /** @param parts put together otherwise by tests alone */
  constructor(ctx: DurableObjectState, env: Env, parts: SessionParts = composeSession(ctx, env)) {
    super(ctx, env);
    this.#parts = parts;
    if (parts.state.maybe === undefined) return;
    parts.transactions.run(() => {
      parts.lifecycle.resume();
      parts.link.resume();
      parts.outbox.resume();
      parts.children.resume();
      parts.reports.resume();
    });
  }

  /** Makes the session, with its first message if it has one, and starts its sandbox. Once: again is the same session. */
  async create({ origin, ...input }: NewSession, ctx: CallContext): Promise<Result<SessionView>> {
    const { state, transactions, lifecycle, reports, intervals, view } = this.#parts;
    const known = state.maybe;
    if (known !== undefined) {
      const isSame = known.id === input.id && known.ownerId === ctx.ownerId;
      return isSame ? ok(view()) : refuse("session-exists", "There is another session of this id.");
    }
    if (reports.isNeverMade) return refuse("session-ended", "Its parent ended before it was made.");
    const { prompt, repoUrl, ...settings } = withoutUndefined(input);
    if (prompt !== undefined && sizeOf(prompt, []) > BATCH_LIMITS.bytes) return TOO_LARGE;
    return transactions.run(() => {
      state.create({
        ...{ models: [], queueMode: "followup", idleTimeoutMs: intervals.idleTimeoutMs, ...settings },
        ...(repoUrl !== undefined && splitCredentials(repoUrl)),
        ...(origin !== undefined && { depth: origin.depth }),
        ...(origin?.credentials !== undefined && { credentials: origin.credentials }),
        ...{ ownerId: ctx.ownerId, state: "created", generation: 0, link: NO_LINK },
        recovery: { attempts: 0, readyMs: 0 },
      });
      const cause = callerOf(ctx);
      lifecycle.start({ reason: "session_created", causes: cause === undefined ? [] : [cause] });
      if (prompt !== undefined) {
        const spawned = originOf("spawned_by", origin?.spawnedBy, settings.parentSessionId);
        const parent = spawned === undefined ? cause : undefined;
        this.#accept({ content: prompt, queueMode: "followup" }, { parent, initial: true, origin: spawned });
      }
      return ok(view());
    });
  }

  async view(): Promise<Result<SessionView>> {
    return this.#read(({ view }) => ok(view()));
  }

  /** Takes a message. The same id twice is one message; nothing is asked of the session for the second. */
  async sendMessage(input: SendMessage, ctx: CallContext): Promise<Result<AcceptedMessage>> {
    return this.#change(() => this.#takeMessage(input, { parent: callerOf(ctx) }));
  }

  async messages(cursor?: string): Promise<Result<z.infer<typeof MessageList>>> {
    return this.#read(({ queue, conversation }) => listMessages(queue.store, conversation, cursor));
  }

  /** Takes a message back that is queued. Again is fine. */
  async withdraw(messageId: string, ctx: CallContext): Promise<Result<MessageView>> {
    return this.#change(({ queue, conversation }) => {
      const row = queue.store.message(messageId);
      if (row?.kind !== "message") return refuse("message-not-found", "The session has no message of this id.");
      const isWithdrawn = row.errorType === "withdrawn";
      if (!isWithdrawn && !queue.endQueued(messageId, "aborted", "withdrawn", callerOf(ctx))) {
        return refuse("message-not-queued", `The message is ${row.status}: abort the turn instead.`);
      }
      return ok(conversation.view(queue.store.message(messageId) as MessageRow));
    });
  }

  /** Takes a workflow. The same id twice is one execution. */
  async startWorkflow(input: StartWorkflow, ctx: CallContext): Promise<Result<AcceptedWorkflow>> {
    const { name, steps, onFailure = "stop", channel = MAIN_CHANNEL, id = newId("wfl") } = withoutUndefined(input);
    return this.#change(({ queue }) => {
      const known = queue.store.message(id);
      if (known !== undefined) return known.kind === "workflow" ? ok(acceptedWorkflow(known)) : ID_TAKEN;
      const sizeBytes = sizeOf(name, steps);
      if (sizeBytes > BATCH_LIMITS.bytes) return WORKFLOW_TOO_LARGE;
      const body: WorkflowBody = { name, steps, onFailure };
      const refusal = this.#refusal();
      if (refusal !== undefined) return refusal;
      return ok(acceptedWorkflow(queue.acceptWorkflow({ id, channel, sizeBytes, body, parent: callerOf(ctx) }).row));
    });
  }

  async workflows(cursor?: string): Promise<Result<z.infer<typeof WorkflowList>>> {
    return this.#read(({ queue }) => listWorkflows(queue.store, queue.workflows, cursor));
  }

  /** One execution, with what its steps gave. */
  async workflow(executionId: string): Promise<Result<WorkflowView>> {
    return this.#read(({ queue }) => {
      const row = queue.store.message(executionId);
      return row?.kind === "workflow" ? ok(queue.workflows.view(row, true)) : NO_WORKFLOW;
    });
  }

  /** Takes a workflow back that is queued. Again is fine. */
  async withdrawWorkflow(executionId: string, ctx: CallContext): Promise<Result<WorkflowView>> {
    return this.#change(({ queue }) => {
      const row = queue.store.message(executionId);
      if (row?.kind !== "workflow") return NO_WORKFLOW;
      const isWithdrawn = row.errorType === "withdrawn";
      if (!isWithdrawn && !queue.endQueued(executionId, "aborted", "withdrawn", callerOf(ctx))) {
        return refuse("workflow-not-queued", `The workflow is ${row.status}: abort the session's work instead.`);
      }
      return ok(queue.workflows.view(queue.store.message(executionId) as MessageRow));
    });
  }

  async clearQueue(ctx: CallContext): Promise<Result<z.infer<typeof ClearedQueue>>> {
    return this.#change(({ dispatcher }) => {
      return ok({ withdrawn: dispatcher.endQueued("aborted", "queue_cleared", callerOf(ctx)) });
    });
  }

  async hibernate(ctx: CallContext): Promise<Result<SessionView>> {
    return this.#changeSession(({ lifecycle }) => lifecycle.hibernate("requested", callerOf(ctx)));
  }

  async wake(ctx: CallContext): Promise<Result<SessionView>> {
    return this.#changeSession(({ lifecycle }) => lifecycle.wake(callerOf(ctx)));
  }

  /** Stops what the agent works on, in every channel. Queued messages stay. */
  async abort(ctx: CallContext): Promise<Result<SessionView>> {
    return this.#changeSession(({ dispatcher }) => {
      dispatcher.stop("user_abort", callerOf(ctx));
      return ok(undefined);
    });
  }

  async terminate(ctx: CallContext): Promise<Result<SessionView>> {
    return this.#changeSession(({ lifecycle }) => {
      lifecycle.terminate("requested", callerOf(ctx));
      return ok(undefined);
    });
  }

  /** Answers the agent's request for leave. */
  async replyPermission(permissionId: string, reply: PermissionReply, _ctx: CallContext): Promise<Result<SessionView>> {
    const frame = { type: "permission-reply", permissionId, reply } as const;
    return this.#reply("permission", permissionId, frame, { type: "permission-closed", permissionId, reply });
  }

  /** Answers the agent's questions; with `null` it is told that nobody will. */
  async replyQuestion(
    questionId: string,
    answers: QuestionAnswers | null,
    _ctx: CallContext,
  ): Promise<Result<SessionView>> {
    const frame = { type: "question-reply", questionId, answers } as const;
    return this.#reply("question", questionId, frame, { type: "question-closed", questionId, answers });
  }

  async turns(cursor?: string): Promise<Result<z.infer<typeof TurnList>>> {
    return this.#read(({ records }) => listTurns(records, cursor));
  }

  async traces(cursor?: string): Promise<Result<z.infer<typeof TraceList>>> {
    return this.#read(({ traces }) => listTraces(traces, cursor));
  }

  /** One trace as OTLP/JSON, streamed; open spans have no end. */
  async readTrace(traceId: string): Promise<Result<ReadableStream<Uint8Array>>> {
    return this.#read(({ traces }) => {
      const otlp = traces.trace(traceId);
      return otlp === undefined ? refuse("trace-not-found", "The session has no trace of this id.") : ok(otlp);
    });
  }

  async spans(): Promise<ReadableStream<Uint8Array>> {
    return this.#parts.traces.spans();
  }

  async recordSpans(otlpJson: string): Promise<void> {
    const { traces, transactions } = this.#parts;
    transactions.run(() => traces.acceptSpans(otlpJson));
  }

  async adoptChild(childId: string, ctx: CallContext): Promise<Result<{ readonly depth: number }>> {
    return this.#changeFamily(ctx, ({ children }) => children.adopt(childId));
  }

  async releaseChild(childId: string, ctx: CallContext): Promise<Result<void>> {
    return this.#changeFamily(ctx, ({ children }) => ok(children.release(childId)));
  }

  /** Takes what a child tells: a message for the agent, which wakes the session as any other does. */
  async takeChildReport(told: ChildReport, ctx: CallContext): Promise<Result<void>> {
    return this.#changeFamily(ctx, ({ children }) => {
      const channel = children.takeReport(told);
      if (channel === undefined) return ok(undefined);
      const { childSessionId, reportedBy } = told;
      const origin = { link: "caused_by", context: extractFromHeaders({ ...reportedBy }), childSessionId } as const;
      const message: SendMessage = { id: told.id, content: reportText(told), channel, queueMode: "followup" };
      const taken = this.#takeMessage(message, { origin });
      return taken.ok ? ok(undefined) : taken;
    });
  }

  async takeParentMessage({ id, parentSessionId, content, sentBy }: ParentMessage, ctx: CallContext) {
    return this.#changeFamily(ctx, ({ state }) => {
      if (state.record.parentSessionId !== parentSessionId) return NOT_FOUND;
      const origin = originOf("caused_by", sentBy, parentSessionId);
      const taken = this.#takeMessage({ id, content, queueMode: "followup" }, { origin });
      return taken.ok ? ok(undefined) : taken;
    });
  }

  async endAsChild(parentSessionId: string, reason: TerminateReason, ctx: CallContext): Promise<Result<void>> {
    const { state, transactions, reports } = this.#parts;
    if (state.maybe === undefined) return ok(transactions.run(() => reports.neverMake()));
    return this.#changeFamily(ctx, ({ lifecycle }) => {
      if (state.record.parentSessionId !== parentSessionId) return NOT_FOUND;
      return ok(lifecycle.terminate(reason, callerOf(ctx)));
    });
  }

  /** WebSockets: `/runner` for the sandbox's runner, `/client` for whoever watches. */
  override async fetch(request: Request): Promise<Response> {
    const { state, link, clients, view } = this.#parts;
    if (state.maybe === undefined) return new Response("No such session.", { status: 404 });
    const { pathname } = new URL(request.url);
    if (pathname === "/runner") return link.accept(request);
    if (pathname === "/client") return clients.accept(request, { type: "session", session: view() });
    return new Response("There is nothing here.", { status: 404 });
  }

  override webSocketMessage(socket: WebSocket, data: string | ArrayBuffer): void {
    const { link, clients } = this.#parts;
    try {
      if (link.owns(socket)) link.receive(socket, data);
      else if (clients.owns(socket)) clients.onFrame(socket);
    } catch (error) {
      // A bug of ours, met by one frame: it is rolled back, and the object lives on.
      report(error);
    }
  }

  override webSocketClose(socket: WebSocket): void {
    this.#onSocketGone(socket);
  }

  override webSocketError(socket: WebSocket): void {
    this.#onSocketGone(socket);
  }

  /** Starts what is due and sets the next alarm. Waits for nothing on the network, and never throws. */
  override alarm(): void {
    const { timers, traces, exporter, now, background } = this.#parts;
    try {
      if ((traces.dueAtMs() ?? Infinity) <= now()) traces.fold((segmentId) => exporter.isSettled(segmentId));
      if ((exporter.dueAtMs() ?? Infinity) <= now()) background(exporter.start().then(() => timers.arm()));
    } catch (error) {
      report(error);
    }
    timers.fire();
  }

  #onSocketGone(socket: WebSocket): void {
    const { link } = this.#parts;
    try {
      if (link.owns(socket)) link.closed(socket);
    } catch (error) {
      report(error);
    }
  }

  /** Takes a message unless the session takes none, now or any more. One that is there already is the same. */
  #takeMessage(input: SendMessage, source: Source): Result<AcceptedMessage> {
    const known = input.id === undefined ? undefined : this.#parts.queue.store.message(input.id);
    if (known !== undefined) return known.kind === "message" ? ok(acceptedView(known)) : ID_TAKEN;
    return this.#refusal() ?? this.#accept(input, source);
  }

  #accept(input: SendMessage, { parent, initial = false, origin }: Source): Result<AcceptedMessage> {
    const { state, queue, dispatcher, reports, intervals, now } = this.#parts;
    const { queueMode, channel = MAIN_CHANNEL, id = newId("msg"), ...rest } = withoutUndefined(input);
    const body: MessageBody = { ...rest, attachments: rest.attachments ?? [] };
    const sizeBytes = sizeOf(body.content, body.attachments);
    if (sizeBytes > BATCH_LIMITS.bytes) return TOO_LARGE;
    const mode = queueMode ?? state.record.queueMode;
    const notBeforeMs = mode === "collect" ? now() + intervals.collectDebounceMs : 0;
    const source = origin === undefined ? "user" : "system";
    const { row } = queue.accept({
      ...{ id, channel, mode, source, initial, sizeBytes, notBeforeMs, body, parent, origin },
    });
    const isForParent = initial || origin?.parentSessionId !== undefined;
    if (isForParent && state.record.parentSessionId !== undefined) reports.expect(id);
    if (mode === "steer") dispatcher.stop("steered", row.promptContext, channel);
    return ok(acceptedView(row));
  }

  #reply(
    kind: "permission" | "question",
    id: string,
    frame: ToRunnerOf<"permission-reply" | "question-reply">,
    news: ClientEvent,
  ): Result<SessionView> {
    return this.#read(({ requests, dispatcher, link, transactions, clients, view }) => {
      if (!requests.isOpen(kind, id)) return refuse("request-not-found", "Nothing of this id waits for an answer.");
      if (!link.send(frame)) {
        return refuse("runner-disconnected", "The agent cannot be told now: try again in a moment.");
      }
      transactions.run(() => {
        const attemptId = requests.close(id);
        if (attemptId !== undefined) dispatcher.heard(attemptId);
      });
      clients.broadcast(news);
      return ok(view());
    });
  }

  /** Why nothing new is taken; `undefined` where it is. */
  #refusal() {
    const { state, queue } = this.#parts;
    const { state: session } = state.record;
    if (session === "terminating" || session === "terminated") {
      return refuse("session-ended", "A session that has ended takes no messages and no workflows.");
    }
    if (queue.store.queuedCount() >= MAX_QUEUED) {
      return refuse("queue-full", `At most ${MAX_QUEUED} messages and workflows wait in a session.`);
    }
    return undefined;
  }

  /** Reads the session; nothing is there before it has been created. */
  #read<T>(read: (parts: SessionParts) => Result<T>): Result<T> {
    return this.#parts.state.maybe === undefined ? NOT_FOUND : read(this.#parts);
  }

  /** Changes the session in one transaction. */
  #change<T>(change: (parts: SessionParts) => Result<T>): Result<T> {
    return this.#read((parts) => parts.transactions.run(() => change(parts)));
  }

  /** Changes the session for another of its family, which is its owner's too. */
  #changeFamily<T>(ctx: CallContext, change: (parts: SessionParts) => Result<T>): Result<T> {
    return this.#change((parts) => (parts.state.record.ownerId === ctx.ownerId ? change(parts) : NOT_FOUND));
  }

  #changeSession(change: (parts: SessionParts) => Result<void>): Result<SessionView> {
    const result = this.#change(change);
    return result.ok ? ok(this.#parts.view()) : result;
  }
}

/** Where a message comes from. */
interface Source {
  /** The request that brought it. */
  readonly parent?: SpanContext | undefined;
  /** Whether the session is made with it. */
  readonly initial?: boolean;
  /** The other session that it is of; a user's has none. */
  readonly origin?: MessageOrigin | undefined;
}

/** @param carrier of the tool call of the parent's agent; without one no agent sent it */
function originOf(
  link: MessageOrigin["link"],
  carrier: Carrier | undefined,
  parentSessionId: string | undefined,
): MessageOrigin | undefined {
  if (carrier === undefined || parentSessionId === undefined) return undefined;
  return { link, context: extractFromHeaders({ ...carrier }), parentSessionId };
}

function callerOf({ traceparent, tracestate }: CallContext): SpanContext | undefined {
  return extractFromHeaders({ traceparent, tracestate });
}

/** What a message or workflow takes of a frame to the runner, in bytes. */
function sizeOf(text: string, more: MessageBody["attachments"] | WorkflowBody["steps"]): number {
  return new TextEncoder().encode(JSON.stringify([text, more])).length;
}

function acceptedView({ id, status, promptContext }: MessageRow): AcceptedMessage {
  return { messageId: id, status, ...(isTraced(promptContext) && { traceId: promptContext.traceId }) };
}

function acceptedWorkflow({ id, status, promptContext }: MessageRow): AcceptedWorkflow {
  return { executionId: id, status, ...(isTraced(promptContext) && { traceId: promptContext.traceId }) };
}

/** A copy without the fields that hold nothing: what is optional here is absent, not undefined. */
function withoutUndefined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const entries = Object.entries(value).filter(([, each]) => each !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]: Exclude<T[K], undefined> };
}
