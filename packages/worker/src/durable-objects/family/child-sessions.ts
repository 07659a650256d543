/**
 * A session's children, from the parent's side: the requests of its agent about them, and their reports. The
 * transaction that accepts a spawn chooses the child's id and stores everything that its creation takes; only then is
 * the other object called, until it answers. Since every call may arrive twice, the child is created once, whichever
 * object dies in between.
 */

import type { Problem } from "@valet/shared/http/problem";
import { endWith } from "@valet/shared/outcome";
import { apiProblem } from "@valet/shared/protocol/api-problems";
import type { ChildSession, ChildSessionAnswer, ChildSessionRequestOf } from "@valet/shared/protocol/child-sessions";
import type { FromRunnerOf } from "@valet/shared/protocol/runner-link";
import type { CreateSession } from "@valet/shared/protocol/session-api";
import type { SessionView } from "@valet/shared/protocol/session-view";
import { type EndReason, endedBy, marked, type Outcome } from "@valet/shared/spans";
import { contextHeaders, extractFromHeaders, type SpanContext, SpanKind } from "@valet/shared/tracing";
import { type ChildMember, readChildren } from "../../database/family.ts";
import { upsertSession } from "../../database/sessions.ts";
import type { CallContext } from "../contract.ts";
import { DurableCalls } from "../core/durable-call.ts";
import { type GitCredentials, withCredentials } from "../core/git-credentials.ts";
import { newId } from "../core/ids.ts";
import { isRecent } from "../core/recent.ts";
import { ok, type Result, refuse } from "../core/result.ts";
import type { TimerHandlers } from "../core/timers.ts";
import type { AttemptEnd } from "../queue/ports.ts";
import { ChildEndings } from "./child-endings.ts";
import { type ChildInput, childInput } from "./child-input.ts";
import { type ChildRow, ChildStore, type PeerCall } from "./child-store.ts";
import {
  type Carrier,
  type ChildOrigin,
  type ChildReport,
  MAX_DEPTH,
  MAX_OPEN_CHILDREN,
  PEER_CALL_MS,
} from "./family.ts";
import type { FamilyOptions } from "./family-options.ts";

type Request = FromRunnerOf<"child-session-request">;

export interface ChildSessionsOptions extends FamilyOptions {
  readonly db: D1Database;
  readonly allowsFileRepos: boolean;
  /** Returns the channel of an attempt; the default channel when there is no such attempt. */
  readonly channelOf: (attemptId: string | undefined) => string;
  /** Returns the user for whom an attempt works; the session's user if there is no such attempt. */
  readonly userOf: (attemptId: string | undefined) => string;
  /**
   * Returns the credentials of the session's repository. Never rejects: without credentials the child is created and
   * its clone fails.
   */
  readonly openCredentials: () => Promise<GitCredentials | undefined>;
  /**
   * Returns what of the child cannot work, as the HTTP API finds it before it creates a session. The repository's URL holds the
   * credentials for it.
   */
  readonly findUseless: (input: CreateSession) => Promise<readonly Useless[]>;
  /** Returns whether the session has spans of a trace, or may begin it: a sandbox must not write into other traces. */
  readonly isOwnTrace: (traceId: string) => boolean;
  /** Sends the answer if there is a link; otherwise the runner repeats the request. */
  readonly respond: (requestId: string, answer: ChildSessionAnswer) => void;
}

/** A field of the child's settings, and why it cannot work. */
interface Useless {
  readonly path: string;
  readonly message: string;
}

/** With a delay that doubles from two seconds this takes a minute; by then the agent's call has long timed out. */
const MAX_TRIES = 6;
/** More than an agent needs; a higher rate means a loop, or a caller other than the agent. */
const MAX_REQUESTS_A_MINUTE = 60;
/** How many children an agent can list, the newest. */
const MAX_LISTED = 100;

export class ChildSessions {
  readonly #options: ChildSessionsOptions;
  readonly #store: ChildStore;
  /** Calls of other sessions, by the id of the agent's request. */
  readonly #calls: DurableCalls<PeerCall, Result<ChildSession>>;
  readonly #endings: ChildEndings;
  /** Only in memory, which an object keeps while it receives requests. */
  #minute = { sinceMs: 0, requests: 0 };
  readonly timerHandlers: TimerHandlers<"child-request" | "child-end">;

  constructor(options: ChildSessionsOptions) {
    this.#options = options;
    this.#store = new ChildStore(options.sql);
    this.#calls = new DurableCalls<PeerCall, Result<ChildSession>>("child-request", options, {
      delivers: "all",
      timeoutMs: PEER_CALL_MS,
      maxTries: MAX_TRIES,
      call: ({ payload }) => this.#make(payload),
      settle: (result, { key, payload, tries }) => this.#settle(key, payload, result, tries),
      giveUp: ({ key, payload }) => this.#giveUp(key, payload),
    });
    this.#endings = new ChildEndings(options, this.#store);
    this.timerHandlers = { "child-request": this.#calls.onTimer, ...this.#endings.timerHandlers };
  }

  /** Continues pending calls after the object has started. */
  resume(): void {
    this.#calls.resume();
    this.#endings.resume();
  }

  /** Handles a request of the agent. A repeated request gets its first answer again. */
  onRequest(frame: Request): void {
    const { requestId, request } = frame;
    const known = this.#store.request(requestId);
    if (known?.answer) this.#respond(requestId, known.answer);
    if (known !== undefined) return;
    if (!this.#isWithinRate()) {
      this.#respond(requestId, refusal("Too many requests. Try again in a minute."));
      return;
    }
    switch (request.action) {
      case "spawn":
        return this.#spawn(frame, request);
      case "list":
        return this.#list(requestId);
      case "message":
        return this.#message(frame, request);
      case "end":
        return this.#end(frame, request);
      default:
        // With a further action, this does not compile.
        request satisfies never;
    }
  }

  /** Returns the ids of the newest children that the session has had, the newest last. */
  newestIds(limit: number): string[] {
    return this.#store.newestIds(limit);
  }

  /** Records a child that is created through the API. Idempotent. */
  adopt(childId: string): Result<{ readonly depth: number }> {
    if (this.#store.child(childId) === undefined) {
      const refusal = this.#refusal();
      if (refusal !== undefined) return refuse("child-session-refused", refusal);
      this.#store.addChild(childId, "open", this.#options.channelOf(undefined));
    }
    return ok({ depth: this.#childDepth });
  }

  /** Removes a child that was not created after all. */
  release(childId: string): void {
    this.#store.removeChild(childId);
  }

  /**
   * Handles a child's report.
   * @returns the channel in which the agent is told; `undefined` when the agent terminated the child itself
   */
  takeReport({ childSessionId, event }: ChildReport): string | undefined {
    const { channelOf } = this.#options;
    this.#store.addChild(childSessionId, "open", channelOf(undefined));
    const { state, channel, reason } = this.#store.child(childSessionId) as ChildRow;
    if (event !== "terminated") return channel;
    if (state !== "ended") this.#store.updateChild(childSessionId, { state: "ended" });
    return reason === "requested" ? undefined : channel;
  }

  /**
   * Closes the spans of spawns whose attempt has ended; the children are created all the same. This happens only when
   * the attempt was cut short, since otherwise the agent has waited for the answers.
   */
  attemptEnded(attemptId: string, { outcome, errorType }: Pick<AttemptEnd, "outcome" | "errorType">): void {
    const reason = CUTS.find((type) => type === errorType);
    if (reason === undefined) return;
    for (const { payload: call } of this.#calls.waiting()) {
      if (call.action === "spawn" && call.attemptId === attemptId) this.#endSpan(call.span, outcome, reason);
    }
  }

  /** Terminates all children, because the session ends. */
  endAll(): void {
    for (const { key: id, payload: call } of this.#calls.waiting()) {
      if (call.action === "spawn") this.#endSpan(call.span, "aborted", "session_terminated");
      this.#answer(id, refusal("The session is being terminated."));
    }
    for (const child of this.#store.children()) this.#endings.begin(child, "parent_session_terminated");
  }

  /**
   * Deletes the next of all children that the session has had, because it is deleted.
   * @param after the number of the last one @returns that of the last of these; `undefined` if no others follow
   */
  deleteNext(deletedBy: string | null, after: number, limit: number): number | undefined {
    const children = this.#store.childrenAfter(after, limit);
    for (const child of children) this.#endings.delete(child, deletedBy);
    return children.length < limit ? undefined : children.at(-1)?.seq;
  }

  /** Returns how many children follow the one with this number. */
  countAfter(after: number): number {
    return this.#store.countAfter(after);
  }

  #spawn(frame: Request, request: ChildSessionRequestOf<"spawn">): void {
    const { tracer, state, channelOf, allowsFileRepos } = this.#options;
    const { requestId, attemptId } = frame;
    const toolCall = this.#contextOf(frame);
    const childId = newId("ses");
    const refused = this.#refusal();
    const made: ChildInput =
      refused === undefined ? childInput(request, state.record, allowsFileRepos) : { ok: false, error: refused };
    const span = tracer.start("valet.child_session.spawn", {
      kind: SpanKind.CLIENT,
      parent: toolCall,
      attributes: { "valet.child_session.id": made.ok ? childId : undefined },
    });
    if (!made.ok) {
      endWith(span, "error", "child_session_refused");
      this.#refuse(requestId, made.error);
      return;
    }
    const { input, isOwnRepo } = made;
    const origin: ChildOrigin = { depth: this.#childDepth, spawnedBy: carrierOf(toolCall) };
    this.#store.addChild(childId, "spawning", channelOf(attemptId));
    const userId = this.#options.userOf(attemptId);
    const call = { action: "spawn", childId, input, origin, isOwnRepo, userId, span: span.context } as const;
    this.#begin(requestId, { ...call, ...(attemptId !== undefined && { attemptId }) });
  }

  #message(frame: Request, { session, message: content }: ChildSessionRequestOf<"message">): void {
    const { requestId } = frame;
    const child = this.#openChild(session);
    if (child === undefined) return this.#refuse(requestId, NO_SUCH_CHILD);
    const { id: parentSessionId } = this.#options.state.record;
    const message = { id: newId("msg"), parentSessionId, content, sentBy: carrierOf(this.#contextOf(frame)) };
    const userId = this.#options.userOf(frame.attemptId);
    this.#begin(requestId, { action: "message", childId: child.id, message, userId });
  }

  #end({ requestId }: Request, { session }: ChildSessionRequestOf<"end">): void {
    const child = this.#openChild(session);
    if (child === undefined) return this.#refuse(requestId, NO_SUCH_CHILD);
    this.#endings.begin(child, "requested");
    const answer = answerOf({ id: child.id, status: "terminating" });
    this.#store.addRequest(requestId, answer);
    this.#respond(requestId, answer);
  }

  /** Nothing is stored, since a repeated request can read the list again. */
  #list(requestId: string): void {
    const { db, state, transactions, background, report, respond } = this.#options;
    const { id, ownerId } = state.record;
    const read = async () => {
      const children = await readChildren(db, id, ownerId, MAX_LISTED);
      respond(requestId, answerOf(...children.map((child) => ({ ...childView(child), ...costOf(child) }))));
    };
    const fail = (error: unknown) => {
      report(error);
      respond(requestId, refusal("The sessions cannot be listed right now. Try again in a moment."));
    };
    transactions.afterCommit(() => background(read().catch(fail)));
  }

  #begin(requestId: string, call: PeerCall): void {
    this.#store.addRequest(requestId, null);
    this.#calls.add(requestId, call);
  }

  async #make(call: PeerCall): Promise<Result<ChildSession>> {
    const { callPeer, db, state, openCredentials, report } = this.#options;
    const { ownerId } = state.record;
    const { userId = state.record.userId ?? ownerId } = call;
    if (call.action === "message") {
      const { message } = call;
      const result = await callPeer(call.childId, (child) => child.takeParentMessage(message, { ownerId, userId }));
      return result.ok ? ok({ id: call.childId }) : result;
    }
    const ctx: CallContext = { ownerId, userId, ...contextHeaders(call.span) };
    const credentials = call.isOwnRepo ? await openCredentials() : undefined;
    const useless = await this.#options.findUseless(withCredentials(call.input, credentials));
    if (useless.length > 0) return refuse(CHILD_USELESS, uselessText(useless));
    const origin = { ...call.origin, ...(credentials !== undefined && { credentials }) };
    const input = { ...call.input, id: call.childId, origin };
    const result = await callPeer(call.childId, (child) => child.create(input, ctx));
    if (!result.ok) return result;
    const { value: view } = result;
    // The child's object projects itself a moment later, but the parent's agent may list it at once.
    await upsertSession(db, { ownerId, version: 0, view }).run().catch(report);
    return ok(childView(view));
  }

  #settle(requestId: string, call: PeerCall, result: Result<ChildSession>, tries: number): "done" {
    const child = this.#store.child(call.childId);
    if (call.action === "spawn") {
      // An earlier try may have created it, when the check found nothing yet.
      const isUseless = !result.ok && result.problem.type === USELESS_TYPE;
      if (isUseless && tries > 1 && child !== undefined) this.#endings.begin(child, "requested");
      else if (!result.ok) this.#store.removeChild(call.childId);
      else if (child?.state === "spawning") this.#store.updateChild(call.childId, { state: "open" });
      this.#endSpan(call.span, result.ok ? "ok" : "error", result.ok ? undefined : "child_session_refused");
    }
    this.#answer(requestId, result.ok ? answerOf(result.value) : refusal(textOf(result.problem)));
    return "done";
  }

  /** Gives up a call whose result is unknown, and terminates the child in case it was created. */
  #giveUp(requestId: string, call: PeerCall): void {
    const child = this.#store.child(call.childId);
    if (call.action === "spawn") {
      this.#endSpan(call.span, "error", "child_session_refused");
      if (child !== undefined) this.#endings.begin(child, "requested");
    }
    this.#answer(requestId, refusal("The other session does not answer."));
  }

  /** Returns why the session cannot have another child now; `undefined` when it can. */
  #refusal(): string | undefined {
    const { state } = this.#options.state.record;
    if (state === "terminating" || state === "terminated") return "This session has ended, so it cannot have children.";
    if (this.#childDepth > MAX_DEPTH) {
      return `Child sessions may be nested ${MAX_DEPTH} levels deep, and this session is at that depth: do the work here.`;
    }
    const open = this.#store.children().filter((child) => child.state !== "ending").length;
    if (open < MAX_OPEN_CHILDREN) return undefined;
    return `This session already has the maximum of ${MAX_OPEN_CHILDREN} open child sessions: end one that is done.`;
  }

  #isWithinRate(): boolean {
    const nowMs = this.#options.now();
    if (!isRecent(this.#minute.sinceMs, nowMs, 60_000)) this.#minute = { sinceMs: nowMs, requests: 0 };
    return ++this.#minute.requests <= MAX_REQUESTS_A_MINUTE;
  }

  get #childDepth(): number {
    return (this.#options.state.record.depth ?? 0) + 1;
  }

  #openChild(id: string): ChildRow | undefined {
    const child = this.#store.child(id);
    return child?.state === "open" || child?.state === "spawning" ? child : undefined;
  }

  /** Returns the context of the tool call that sent the request, if it is in a trace of the session. */
  #contextOf({ traceparent, tracestate }: Request): SpanContext | undefined {
    const context = extractFromHeaders({ traceparent, tracestate });
    return context !== undefined && this.#options.isOwnTrace(context.traceId) ? context : undefined;
  }

  #endSpan(context: SpanContext, ...end: SpawnEnd): void {
    this.#options.tracer.change("valet.child_session.spawn", context, (span) => endWith(span, ...end));
  }

  #refuse(requestId: string, error: string): void {
    this.#store.addRequest(requestId, refusal(error));
    this.#respond(requestId, refusal(error));
  }

  #answer(requestId: string, answer: ChildSessionAnswer): void {
    this.#calls.drop(requestId);
    this.#store.answerRequest(requestId, answer);
    this.#respond(requestId, answer);
  }

  #respond(requestId: string, answer: ChildSessionAnswer): void {
    const { transactions, respond } = this.#options;
    transactions.afterCommit(() => respond(requestId, answer));
  }
}

type SpawnEnd = [outcome: Outcome, reason?: EndReason<"valet.child_session.spawn"> | undefined];

/** The error types that cut an attempt short, and with it a spawn that it waits for. */
const CUTS = endedBy("child_spawn").filter((type) => (marked("cuts") as string[]).includes(type));

const NO_SUCH_CHILD = "You have no open child session with this id.";

function carrierOf(context: SpanContext | undefined): Carrier {
  return context === undefined ? {} : contextHeaders(context);
}

function answerOf(...sessions: ChildSession[]): ChildSessionAnswer {
  return { ok: true, sessions };
}

function refusal(error: string): ChildSessionAnswer {
  return { ok: false, error };
}

/** The error type with which the HTTP API refuses the same. */
const CHILD_USELESS = "invalid-input";
const USELESS_TYPE = apiProblem(CHILD_USELESS).type;
/** What the agent's tool calls the fields that it may set. */
const ARGUMENTS: Readonly<Record<string, string>> = { repoUrl: "repo" };

function uselessText(useless: readonly Useless[]): string {
  const fields = useless.map(({ path, message }) => `\`${ARGUMENTS[path] ?? path}\`: ${message}`);
  return `no session was created (\`${CHILD_USELESS}\`). ${fields.join(" ")}`;
}

function textOf({ title, detail }: Problem): string {
  return `${title}: ${detail}`;
}

type Viewed = Pick<SessionView, "id" | "title" | "status" | "agent" | "queueLength">;

function childView({ id, title, status, agent, queueLength }: Viewed): ChildSession {
  return { id, status, agent, queueLength, ...(title !== undefined && { title }) };
}

function costOf({ cost_usd, turns_without_cost }: ChildMember): Pick<ChildSession, "costUsd" | "isCostPartial"> {
  return cost_usd === null ? {} : { costUsd: cost_usd, ...(turns_without_cost > 0 && { isCostPartial: true }) };
}
