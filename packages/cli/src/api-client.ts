/** The client of the HTTP API that the commands use: typed answers, and errors that say what to do. */

import { MessageCertificate, TraceCertificate } from "@valet/shared/protocol/certificate";
import { type DiffQuery, DiffView } from "@valet/shared/protocol/changes";
import { FoundIds } from "@valet/shared/protocol/found-ids";
import { type AttentionItem, AttentionList, NowView } from "@valet/shared/protocol/now";
import { PageTicket } from "@valet/shared/protocol/page-sessions";
import {
  type AcceptedMessage,
  AcceptedMessage as AcceptedMessageSchema,
  AcceptedWorkflow,
  ClearedQueue,
  type CreateSession,
  FamilyView,
  FoundSpans,
  Health,
  MAX_PAGE,
  MessageList,
  ResentSpans,
  type SendMessage,
  SessionList,
  Ticket,
  TraceList,
  type TraceSummaryView,
  type TraceView,
  TraceView as TraceViewSchema,
  TurnList,
  WorkflowList,
} from "@valet/shared/protocol/session-api";
import {
  MessageView,
  type PermissionReply,
  SessionView,
  type TurnRecord,
  WorkflowView,
} from "@valet/shared/protocol/session-view";
import { SystemView } from "@valet/shared/protocol/system";
import { CreatedToken, type CreateToken, TokenList, type TokenView } from "@valet/shared/protocol/tokens";
import { TraceSkeleton } from "@valet/shared/protocol/trace-skeleton";
import { OwnerTurns, TurnStats } from "@valet/shared/protocol/turn-stats";
import { WebhookList, type WebhookView } from "@valet/shared/protocol/webhooks";
import { WhyView } from "@valet/shared/protocol/why";
import type { z } from "zod";
import { ApiError, ApiTransport, errorOf } from "./api-transport.ts";
import { parseDuration } from "./duration-arguments.ts";
import type { Connection } from "./system/state.ts";

export interface FoundTurns {
  readonly turns: TurnRecord[];
  /** Whether more turns follow. */
  readonly hasMore: boolean;
  /** Of a list that is not sorted by time: the period whose turns were sorted. */
  readonly sorted: OwnerTurns["sorted"];
  /** Whether only the newest turns of that period were sorted. */
  readonly isPartial: boolean;
}

/** How many sessions a list of some of them looks at. */
const MAX_LOOKED_AT = 10 * MAX_PAGE;

export class ApiClient {
  readonly #http: ApiTransport;

  constructor(connection: Connection) {
    this.#http = new ApiTransport(connection);
  }

  /** Returns the server's time now, in epoch ms: ages of what it tells are by its clock, which may differ from this machine's. */
  readonly serverNow = (): number => this.#http.clock.now();

  /**
   * Returns the time by which an age counts that a person has given: the server's, which is asked for it if no answer has told it yet.
   * @param texts options; without an age among them this machine's time is enough
   */
  async timeFor(...texts: readonly (string | undefined)[]): Promise<number> {
    const hasAge = texts.some((text) => text !== undefined && parseDuration(text) !== undefined);
    if (hasAge && !this.#http.clock.isKnown) await this.health();
    return this.serverNow();
  }

  health(): Promise<Health> {
    return this.#http.call("GET", "/api/health", Health);
  }

  /** Has the running Valet ask its model's provider and its broker. */
  checkSystem(): Promise<SystemView> {
    return this.#http.call("GET", "/api/system", SystemView);
  }

  createSession(request: CreateSession): Promise<SessionView> {
    return this.#http.call("POST", "/api/sessions", SessionView, request);
  }

  session(id: string): Promise<SessionView> {
    return this.#http.call("GET", `/api/sessions/${encodeURIComponent(id)}`, SessionView);
  }

  /** @param search only sessions in which each of these words is found; all if omitted */
  sessions(search?: string): Promise<SessionView[]> {
    const query = search === undefined ? "" : `?q=${encodeURIComponent(search)}`;
    return this.#http.pages(`/api/sessions${query}`, SessionList, ({ sessions }) => sessions);
  }

  /**
   * Returns the newest sessions that are meant, at most `limit` of them, among the newest {@link MAX_LOOKED_AT}.
   * @returns `hasMore`: whether there are older sessions that were not looked at or are not among them
   */
  async findSessions(
    isMeant: (session: SessionView) => boolean,
    limit: number,
  ): Promise<{ readonly sessions: SessionView[]; readonly hasMore: boolean }> {
    const found: SessionView[] = [];
    let looked = 0;
    let query: string | undefined = "";
    while (query !== undefined && found.length <= limit && looked < MAX_LOOKED_AT) {
      const page: z.infer<typeof SessionList> = await this.#http.call("GET", `/api/sessions${query}`, SessionList);
      found.push(...page.sessions.filter(isMeant));
      looked += page.sessions.length;
      query = page.nextCursor && `?cursor=${encodeURIComponent(page.nextCursor)}`;
    }
    return { sessions: found.slice(0, limit), hasMore: query !== undefined || found.length > limit };
  }

  /** Returns the newest sessions. @param limit at most 100 */
  async newestSessions(limit: number): Promise<SessionView[]> {
    return (await this.#http.call("GET", `/api/sessions?limit=${limit}`, SessionList)).sessions;
  }

  /** Lists the sessions whose spans have not reached the backend for over a minute, as they last reported. */
  sessionsWithExportProblem(): Promise<SessionView[]> {
    return this.#http.pages("/api/sessions?exportProblem=true", SessionList, ({ sessions }) => sessions);
  }

  /** Finds ids that begin with a text: of sessions, or of what the session of this id has. */
  findIds(prefix: string, sessionId?: string): Promise<FoundIds> {
    const place = sessionId === undefined ? "" : `/sessions/${encodeURIComponent(sessionId)}`;
    return this.#http.call("GET", `/api${place}/ids?prefix=${encodeURIComponent(prefix)}`, FoundIds);
  }

  /** Returns what a session does now. */
  now(id: string): Promise<NowView> {
    return this.#http.call("GET", `/api/sessions/${encodeURIComponent(id)}/now`, NowView);
  }

  /** Lists the sessions that need attention, oldest first. */
  attention(): Promise<AttentionItem[]> {
    return this.#http.pages("/api/attention", AttentionList, ({ items }) => items);
  }

  /** Lists the endpoints of webhooks, oldest first. */
  async webhooks(): Promise<WebhookView[]> {
    return (await this.#http.call("GET", "/api/webhooks", WebhookList)).webhooks;
  }

  /** Opens a session's WebSocket with a ticket; it may still be connecting. */
  async openEvents(id: string): Promise<WebSocket> {
    const { ticket } = await this.#http.call("POST", "/api/tickets", Ticket, { sessionId: id });
    const url = new URL(`${this.#http.url}/api/sessions/${encodeURIComponent(id)}/ws`);
    url.protocol = url.protocol.replace("http", "ws");
    url.searchParams.set("ticket", ticket);
    return new WebSocket(url);
  }

  /** Returns the last messages of a session, oldest first. */
  async lastMessages(id: string, limit: number): Promise<MessageView[]> {
    const path = `/api/sessions/${encodeURIComponent(id)}/messages`;
    const found: MessageView[] = [];
    let query: string | undefined = "?order=desc";
    while (query !== undefined && found.length < limit) {
      const page: z.infer<typeof MessageList> = await this.#http.call("GET", `${path}${query}`, MessageList);
      found.push(...page.messages);
      query = page.nextCursor && `?cursor=${encodeURIComponent(page.nextCursor)}`;
    }
    return found.slice(0, limit).reverse();
  }

  /** Has a session send its waiting spans now. */
  resend(id: string): Promise<ResentSpans> {
    return this.#http.call("POST", `/api/sessions/${encodeURIComponent(id)}/resend`, ResentSpans);
  }

  family(id: string): Promise<FamilyView> {
    return this.#http.call("GET", `/api/sessions/${encodeURIComponent(id)}/family`, FamilyView);
  }

  sendMessage(id: string, request: SendMessage): Promise<AcceptedMessage> {
    return this.#http.call("POST", `/api/sessions/${encodeURIComponent(id)}/messages`, AcceptedMessageSchema, request);
  }

  messages(id: string): Promise<MessageView[]> {
    return this.#http.pages(
      `/api/sessions/${encodeURIComponent(id)}/messages`,
      MessageList,
      ({ messages }) => messages,
    );
  }

  /** Returns the newest messages of a session, the newest first. */
  async newestMessages(id: string): Promise<MessageView[]> {
    const path = `/api/sessions/${encodeURIComponent(id)}/messages?order=desc`;
    return (await this.#http.call("GET", path, MessageList)).messages;
  }

  /** Says where the time and the money of a message or of a workflow's execution went, and why it failed. */
  why(id: string, kind: WhyView["kind"], jobId: string): Promise<WhyView> {
    const list = kind === "message" ? "messages" : "workflows";
    const path = `/api/sessions/${encodeURIComponent(id)}/${list}/${encodeURIComponent(jobId)}/why`;
    return this.#http.call("GET", path, WhyView);
  }

  /** Returns a message; `undefined` if the session has none with this id. */
  async message(id: string, messageId: string): Promise<MessageView | undefined> {
    const path = `/api/sessions/${encodeURIComponent(id)}/messages/${encodeURIComponent(messageId)}`;
    try {
      return await this.#http.call("GET", path, MessageView);
    } catch (error) {
      if (error instanceof ApiError && error.type === "message-not-found") return undefined;
      throw error;
    }
  }

  /** @param request a `StartWorkflow`; the API validates it */
  startWorkflow(id: string, request: unknown): Promise<AcceptedWorkflow> {
    return this.#http.call("POST", `/api/sessions/${encodeURIComponent(id)}/workflows`, AcceptedWorkflow, request);
  }

  /** Returns the newest executions of workflows of a session, the newest first. */
  async newestWorkflows(id: string): Promise<WorkflowView[]> {
    const path = `/api/sessions/${encodeURIComponent(id)}/workflows?order=desc`;
    return (await this.#http.call("GET", path, WorkflowList)).workflows;
  }

  workflow(id: string, executionId: string): Promise<WorkflowView> {
    const path = `/api/sessions/${encodeURIComponent(id)}/workflows/${encodeURIComponent(executionId)}`;
    return this.#http.call("GET", path, WorkflowView);
  }

  turns(id: string): Promise<TurnRecord[]> {
    return this.#http.pages(`/api/sessions/${encodeURIComponent(id)}/turns`, TurnList, ({ turns }) => turns);
  }

  /** Returns what turns of a session changed. */
  diff(id: string, query: DiffQuery): Promise<DiffView> {
    return this.#http.call("GET", diffPath(id, query), DiffView);
  }

  /** Returns the patch of these changes, byte by byte. */
  async patch(id: string, query: DiffQuery): Promise<Uint8Array> {
    const response = await this.#http.request("GET", diffPath(id, query), { accept: "text/x-diff" });
    if (!response.ok) throw await errorOf(response);
    return new Uint8Array(await response.arrayBuffer().catch(this.#http.brokenOff));
  }

  /**
   * Lists finished turns of all sessions. Reads on while pages are short.
   * @param query the filters and the order, by the API's names
   */
  async ownerTurns(query: Readonly<Record<string, string>>, most: number): Promise<FoundTurns> {
    const turns: TurnRecord[] = [];
    let isPartial = false;
    let sorted: OwnerTurns["sorted"];
    let cursor: string | undefined;
    do {
      const limit = String(Math.min(most - turns.length, MAX_PAGE));
      const search = new URLSearchParams({ ...query, limit, ...(cursor !== undefined && { cursor }) });
      const page: OwnerTurns = await this.#http.call("GET", `/api/turns?${search}`, OwnerTurns);
      turns.push(...page.turns);
      isPartial ||= page.partial === true;
      sorted = page.sorted;
      cursor = page.nextCursor;
    } while (cursor !== undefined && turns.length < most);
    return { turns, sorted, isPartial, hasMore: cursor !== undefined };
  }

  turnStats(query: Readonly<Record<string, string>>): Promise<TurnStats> {
    return this.#http.call("GET", `/api/turns/stats?${new URLSearchParams(query)}`, TurnStats);
  }

  traces(id: string): Promise<TraceSummaryView[]> {
    return this.#http.pages(`/api/sessions/${encodeURIComponent(id)}/traces`, TraceList, ({ traces }) => traces);
  }

  /** Returns a page of a session's traces, the newest first. */
  tracePage(id: string, cursor?: string): Promise<TraceList> {
    const query = cursor === undefined ? "" : `?cursor=${encodeURIComponent(cursor)}`;
    return this.#http.call("GET", `/api/sessions/${encodeURIComponent(id)}/traces${query}`, TraceList);
  }

  /** Returns the skeleton of a trace, or a page of it. @param after the `next` of the page before */
  skeleton(id: string, traceId: string, after?: string): Promise<TraceSkeleton> {
    const query = after === undefined ? "" : `?after=${encodeURIComponent(after)}`;
    const path = `/api/sessions/${encodeURIComponent(id)}/traces/${traceId}/skeleton${query}`;
    return this.#http.call("GET", path, TraceSkeleton);
  }

  /** Returns one trace as OTLP/JSON, with all of its pages joined. */
  async trace(id: string, traceId: string): Promise<TraceView> {
    const path = `/api/sessions/${encodeURIComponent(id)}/traces/${traceId}`;
    return { resourceSpans: await this.#http.pages(path, TraceViewSchema, ({ resourceSpans }) => resourceSpans) };
  }

  /** Returns the newest traces of a session, the newest first. */
  async newestTraces(id: string): Promise<TraceSummaryView[]> {
    return (await this.#http.call("GET", `/api/sessions/${encodeURIComponent(id)}/traces`, TraceList)).traces;
  }

  /** Says what became of each span of a trace. @param withIds whether the answer has the ids of all known spans */
  certifyTrace(id: string, traceId: string, withIds = false): Promise<TraceCertificate> {
    const path = `/api/sessions/${encodeURIComponent(id)}/traces/${traceId}/certificate${withIds ? "?spanIds=true" : ""}`;
    return this.#http.call("GET", path, TraceCertificate);
  }

  /** Says what became of each span of a message. */
  certifyMessage(id: string, messageId: string): Promise<MessageCertificate> {
    const path = `/api/sessions/${encodeURIComponent(id)}/messages/${encodeURIComponent(messageId)}/certificate`;
    return this.#http.call("GET", path, MessageCertificate);
  }

  /** Returns one span as OTLP/JSON. */
  span(id: string, traceId: string, spanId: string): Promise<TraceView> {
    return this.#http.call(
      "GET",
      `/api/sessions/${encodeURIComponent(id)}/traces/${traceId}/spans/${spanId}`,
      TraceViewSchema,
    );
  }

  /** Searches the names and attributes of a trace's spans. Reads on until it has so many ids, or all. */
  async searchTrace(id: string, traceId: string, text: string, most: number): Promise<string[]> {
    const path = `/api/sessions/${encodeURIComponent(id)}/traces/${traceId}/search`;
    const found: string[] = [];
    let cursor: string | undefined;
    do {
      const search = new URLSearchParams({ q: text, ...(cursor !== undefined && { cursor }) });
      const page: z.infer<typeof FoundSpans> = await this.#http.call("GET", `${path}?${search}`, FoundSpans);
      found.push(...page.spanIds);
      cursor = page.nextCursor;
    } while (cursor !== undefined && found.length < most);
    return found.slice(0, most);
  }

  /** Requests a change of the session's state. The change itself continues after this call returns. */
  change(id: string, change: "hibernate" | "wake" | "abort" | "terminate"): Promise<SessionView> {
    return this.#http.call("POST", `/api/sessions/${encodeURIComponent(id)}/${change}`, SessionView);
  }

  /** Withdraws what waits in a session's queue. @returns how many messages and workflows */
  async clearQueue(id: string): Promise<number> {
    const path = `/api/sessions/${encodeURIComponent(id)}/queue`;
    return (await this.#http.call("DELETE", path, ClearedQueue)).withdrawn;
  }

  replyPermission(id: string, requestId: string, reply: PermissionReply): Promise<SessionView> {
    const path = `/api/sessions/${encodeURIComponent(id)}/permissions/${encodeURIComponent(requestId)}`;
    return this.#http.call("POST", path, SessionView, { reply });
  }

  /** @param answers the answer to each question; `null` declines to answer */
  replyQuestion(id: string, requestId: string, answers: string[][] | null): Promise<SessionView> {
    const path = `/api/sessions/${encodeURIComponent(id)}/questions/${encodeURIComponent(requestId)}`;
    return this.#http.call("POST", path, SessionView, { answers });
  }

  createToken(request: CreateToken): Promise<CreatedToken> {
    return this.#http.call("POST", "/api/tokens", CreatedToken, request);
  }

  async tokens(): Promise<TokenView[]> {
    return (await this.#http.call("GET", "/api/tokens", TokenList)).tokens;
  }

  async revokeToken(id: string): Promise<void> {
    const response = await this.#http.request("DELETE", `/api/tokens/${encodeURIComponent(id)}`, {});
    if (!response.ok) throw await errorOf(response);
  }

  createPageTicket(): Promise<PageTicket> {
    return this.#http.call("POST", "/api/page-tickets", PageTicket);
  }

  /** Requests the deletion of a session, which continues after this call returns. */
  deleteSession(id: string): Promise<SessionView> {
    return this.#http.call("DELETE", `/api/sessions/${encodeURIComponent(id)}`, SessionView);
  }

  /** Makes any other call. @param path with its query */
  ask<T>(method: string, path: string, schema: z.ZodType<T>, body?: unknown): Promise<T> {
    return this.#http.call(method, path, schema, body);
  }
}

/** Returns the path of what turns of a session changed. */
export function diffPath(id: string, query: DiffQuery): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined) as [string, string][];
  const text = new URLSearchParams(given).toString();
  return `/api/sessions/${encodeURIComponent(id)}/diff${text === "" ? "" : `?${text}`}`;
}
