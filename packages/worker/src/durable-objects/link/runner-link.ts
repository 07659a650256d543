/**
 * The WebSocket to the runner: who may open it, which connection counts, and when the link is lost. A generation has one link; a
 * newer connection replaces an older one. `consequences.ts` decides what frames lead to.
 */

import { foreignProtocol, LINK_PROTOCOL } from "@valet/shared/protocol/link-protocol";
import {
  type FromRunnerOf,
  LINK_PING,
  LINK_PONG,
  MAX_LINK_FRAME_BYTES,
  parseFromRunner,
  type ToRunner,
} from "@valet/shared/protocol/runner-link";
import { isRunnerWarning } from "@valet/shared/protocol/warnings";
import { head } from "@valet/shared/text";
import type { Intervals } from "../../config.ts";
import { newId } from "../core/ids.ts";
import { type BudgetLimits, RateBudget } from "../core/rate-budget.ts";
import { NO_LINK, type SessionState } from "../core/session-state.ts";
import type { TimerHandlers, Timers } from "../core/timers.ts";
import type { Transactions } from "../core/transactions.ts";
import {
  type Connection,
  close,
  connectionOf,
  INTERNAL_ERROR,
  isTooLarge,
  isUnknownType,
  NORMAL,
  POLICY_VIOLATION,
  refusalOf,
  refuse,
  SILENT,
  TOO_BIG,
  trySend,
} from "./connection.ts";
import type { EndedRunners, LinkEvent } from "./link-event.ts";
import { readKnock, turnAway } from "./runner-door.ts";

export interface RunnerLinkOptions {
  readonly ctx: Pick<
    DurableObjectState,
    "acceptWebSocket" | "getWebSockets" | "getWebSocketAutoResponseTimestamp" | "setWebSocketAutoResponse"
  >;
  readonly state: SessionState;
  readonly transactions: Transactions;
  readonly timers: Timers;
  readonly now: () => number;
  readonly intervals: Pick<Intervals, "graceMs" | "linkSilenceMs">;
  readonly record: (event: LinkEvent) => void;
  /** Takes a span frame. It changes nothing yet, since it waits for others, and so it needs no transaction. */
  readonly onSpans: (frame: FromRunnerOf<"spans">) => void;
}

const TAG = "runner";
/** After this many frames that cannot be parsed, the socket is closed. */
const MAX_BAD_FRAMES = 20;
/** How many sockets may be open at once: the current one, its successor, and some that ended unnoticed. */
const MAX_SOCKETS = 8;
/**
 * The version of runners that do not store secrets for their successors. Snapshots of engines that copy the whole file system, such
 * as Modal's, hold the runner too, so a session that wakes may run this version.
 */
const WITHOUT_KEPT_SECRETS = "0.1.0";
/** Runner processes of one generation. The broker gives up on a runner that keeps dying long before this. */
const MAX_INSTANCES = 64;
/**
 * The budget of all connections of a session's runner together. A runner sends at most about twenty frames a second; what it kept
 * while the link was down (32 unacknowledged frames, 16 MB) arrives at once.
 */
const CONNECTIONS: BudgetLimits = { burst: 60, perSecond: 1 };
const FRAMES: BudgetLimits = { burst: 2000, perSecond: 200 };
const CODE_UNITS: BudgetLimits = { burst: 64 * 1024 * 1024, perSecond: 2 * 1024 * 1024 };

export class RunnerLink {
  readonly #options: RunnerLinkOptions;
  /** When the last frame arrived, by connection. The platform records pings. */
  readonly #lastFrameMs = new Map<string, number>();
  readonly #connections = new RateBudget(CONNECTIONS);
  readonly #frames = new RateBudget(FRAMES);
  readonly #codeUnits = new RateBudget(CODE_UNITS);
  readonly timerHandlers: TimerHandlers<"grace" | "link"> = {
    grace: () => this.#onGraceOver(),
    link: () => this.#checkSilence(),
  };

  constructor(options: RunnerLinkOptions) {
    this.#options = options;
    const { ctx } = options;
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(LINK_PING, LINK_PONG));
  }

  /** Runs when the object wakes: a link whose socket is gone is down. */
  resume(): void {
    const { state, transactions } = this.#options;
    if (state.maybe?.link.state === "connected" && this.#current() === undefined)
      transactions.run(() => this.#down(false));
  }

  owns(socket: WebSocket): boolean {
    return connectionOf(socket) !== undefined;
  }

  /** Accepts or refuses a runner's WebSocket. */
  accept(request: Request): Response {
    const knock = readKnock(request);
    if (knock instanceof Response) return knock;
    const { token, generation } = knock;
    const { ctx, state, now } = this.#options;
    const refusal = refusalOf(state.record, token, generation);
    if (refusal !== undefined) return turnAway(refusal);
    // Only a connection with the right token uses the runner's budget.
    if (!this.#connections.spend(1, now())) {
      return new Response("Too many connections: try again in a moment.", {
        status: 429,
        headers: { "retry-after": "1" },
      });
    }
    const { 0: client, 1: server } = new WebSocketPair();
    this.#makeRoom();
    ctx.acceptWebSocket(server, [TAG]);
    const connection: Connection = { role: "runner", id: newId("con"), generation, connectedMs: now(), badFrames: 0 };
    server.serializeAttachment(connection);
    return new Response(null, { status: 101, webSocket: client });
  }

  /** Takes a frame. No frame may crash the object. */
  receive(socket: WebSocket, data: string | ArrayBuffer): void {
    const connection = connectionOf(socket);
    if (connection === undefined || connection.isCut) return;
    const length = typeof data === "string" ? data.length : data.byteLength;
    const nowMs = this.#options.now();
    if (!this.#frames.spend(1, nowMs) || !this.#codeUnits.spend(length, nowMs)) {
      this.#cut(socket, connection, POLICY_VIOLATION, "too many frames");
      return;
    }
    if (typeof data !== "string") {
      this.#bad(socket, connection, "frames are text");
      return;
    }
    if (isTooLarge(data)) {
      this.#cut(socket, connection, TOO_BIG, `a frame may have ${MAX_LINK_FRAME_BYTES} bytes`);
      return;
    }
    const parsed = parseFromRunner(data);
    if (!parsed.ok) {
      const protocol = foreignProtocol(data);
      if (protocol !== undefined) this.#refuseForeign(socket, connection, protocol);
      // A frame of an unknown type is from a newer runner, and no error.
      else if (!isUnknownType(data)) this.#bad(socket, connection, parsed.error);
      return;
    }
    this.#lastFrameMs.set(connection.id, this.#options.now());
    const { message } = parsed;
    const { state, transactions, record, onSpans } = this.#options;
    const { connectionId } = state.record.link;
    if (message.type === "hello") this.#hello(socket, connection, message);
    else if (connectionId === undefined) this.#bad(socket, connection, "hello comes first");
    else if (connectionId !== connection.id) return;
    else if (message.type === "spans") onSpans(message);
    else transactions.run(() => record({ type: "frame", frame: message }));
  }

  /** Takes note that a socket closed or broke. Only the current one matters. */
  closed(socket: WebSocket): void {
    const connection = connectionOf(socket);
    if (connection === undefined) return;
    this.#lastFrameMs.delete(connection.id);
    const { state, transactions } = this.#options;
    if (state.record.link.connectionId === connection.id) transactions.run(() => this.#down(true));
  }

  /**
   * Sends a frame. Never within a transaction: a sent frame cannot be rolled back.
   * @returns false if it could not be sent; the link is down then
   */
  send(frame: ToRunner): boolean {
    const socket = this.#current();
    try {
      socket?.send(JSON.stringify(frame));
      if (socket !== undefined) return true;
    } catch {
      // It closed after the check.
    }
    const { state, transactions } = this.#options;
    if (state.record.link.state === "connected") transactions.run(() => this.#down(true));
    return false;
  }

  /** Records that the runner is ready for work. */
  ready(): void {
    this.#options.state.updateLink({ ready: true });
  }

  /** Records that the runner has stored its secrets for its successors: no other connection is sent them. */
  recordSecretsKept(): void {
    const { state } = this.#options;
    const { hasSecrets, runnerVersion } = state.record.link;
    if (!hasSecrets && runnerVersion !== WITHOUT_KEPT_SECRETS) state.updateLink({ hasSecrets: true });
  }

  /** Stores a runner's warnings. A restarted runner does not find them again, so none is removed within a generation. */
  storeWarnings({ warnings }: FromRunnerOf<"warnings">): void {
    const { state } = this.#options;
    const { warnings: before = [] } = state.record;
    const all = [...new Set([...before, ...warnings.filter(isRunnerWarning)])];
    if (all.length > before.length) state.update({ warnings: all });
  }

  /** The session needs its runner again: a grace period that ended in the meantime ends now. */
  want(): void {
    const { state, timers, now } = this.#options;
    if (state.record.link.state === "grace" && timers.dueMs("grace") === undefined) timers.set("grace", now());
  }

  /** Begins a new generation: only its runner may connect. */
  expect(): void {
    this.end();
    this.#options.state.update({ link: { ...NO_LINK, state: "connecting" } });
  }

  /** Closes the link: no runner may connect any more. @returns the runners of the generation, until it has ended */
  end(): EndedRunners {
    const { ctx, state, timers, transactions } = this.#options;
    const { instances, instanceId } = state.record.link;
    const lastSeenMs = instanceId === undefined ? undefined : this.lastSeenMs(instanceId);
    state.update({ link: { ...NO_LINK, instances } });
    timers.clear("grace");
    timers.clear("link");
    const sockets = ctx.getWebSockets(TAG);
    transactions.afterCommit(() => {
      for (const socket of sockets) close(socket, NORMAL, "the sandbox has ended");
    });
    return { instances, instanceId, lastSeenMs };
  }

  #hello(socket: WebSocket, connection: Connection, hello: FromRunnerOf<"hello">): void {
    const { ctx, state, transactions, timers, now, intervals, record } = this.#options;
    const { generation, link, askBefore = [] } = state.record;
    // The token was valid when it connected; the generation may have ended since then.
    if (connection.generation !== generation || hello.generation !== generation || link.state === "gone") {
      refuse(socket, "stale_generation");
      return;
    }
    if (connection.greeted) {
      this.#cut(socket, connection, POLICY_VIOLATION, "one hello a connection");
      return;
    }
    // It would do, unasked, what a person wants to be asked for.
    if (askBefore.length > 0 && hello.asksBefore !== true) {
      this.#refuseForeign(socket, connection, hello.protocol);
      return;
    }
    const instances = new Set([...link.instances, hello.instanceId]);
    if (instances.size > MAX_INSTANCES) {
      this.#cut(socket, connection, POLICY_VIOLATION, "too many instances of the runner");
      return;
    }
    this.#greet(socket, () => {
      transactions.afterCommit(() => {
        socket.serializeAttachment({ ...connection, greeted: true } satisfies Connection);
      });
      state.updateLink({
        state: "connected",
        connectionId: connection.id,
        instanceId: hello.instanceId,
        instances: [...instances],
        ready: hello.ready,
        clockOffsetMs: hello.clockMs - now(),
        runnerVersion: hello.version,
      });
      timers.clear("grace");
      timers.set("link", now() + intervals.linkSilenceMs);
      const others = ctx.getWebSockets(TAG).filter((other) => connectionOf(other)?.id !== connection.id);
      transactions.afterCommit(() => {
        for (const other of others) refuse(other, "superseded");
      });
      record({ type: "hello", hello, isBack: link.state === "grace" });
    });
  }

  /** Refuses a runner that speaks another version of the protocol, or does not know what the session needs, for good. */
  #refuseForeign(socket: WebSocket, connection: Connection, protocol: number): void {
    const { state, transactions, record } = this.#options;
    const { generation, link } = state.record;
    const protocols = { runner: protocol, sessionAgent: LINK_PROTOCOL };
    this.#greet(socket, () => {
      transactions.afterCommit(() => {
        socket.serializeAttachment({ ...connection, isCut: true } satisfies Connection);
        refuse(socket, "protocol_unsupported", protocols);
      });
      if (connection.generation !== generation || connection.greeted || link.state === "connected") return;
      record({ type: "foreign-runner", protocols });
    });
  }

  /** Handles a hello. A runner says it once and then waits for an answer, so after an error it has to connect again. */
  #greet(socket: WebSocket, handle: () => void): void {
    try {
      this.#options.transactions.run(handle);
    } catch (error) {
      close(socket, INTERNAL_ERROR, "the hello could not be stored: connect again");
      throw error;
    }
  }

  #down(isClosed: boolean): void {
    const { state, timers, now, intervals, record } = this.#options;
    const { instanceId } = state.record.link;
    state.updateLink({ state: "grace", connectionId: undefined });
    timers.clear("link");
    timers.set("grace", now() + intervals.graceMs);
    record({ type: "link-down", instanceId, isClosed });
  }

  #onGraceOver(): void {
    const { state, record } = this.#options;
    if (state.record.link.state === "grace") record({ type: "link-gone" });
  }

  /** Detects a peer that vanished without closing its socket. */
  #checkSilence(): void {
    const { state, timers, now, intervals, transactions } = this.#options;
    if (state.record.link.state !== "connected") return;
    const socket = this.#current();
    const connection = socket && connectionOf(socket);
    if (socket === undefined || connection === undefined) {
      this.#down(false);
      return;
    }
    const lastMs = this.#lastSignMs(socket, connection);
    if (lastMs + intervals.linkSilenceMs > now()) {
      timers.set("link", lastMs + intervals.linkSilenceMs);
    } else {
      this.#down(false);
      transactions.afterCommit(() => close(socket, SILENT, "no sign of life"));
    }
  }

  #lastSignMs(socket: WebSocket, { id, connectedMs }: Connection): number {
    const pingMs = this.#options.ctx.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? 0;
    return Math.max(connectedMs, pingMs, this.#lastFrameMs.get(id) ?? 0);
  }

  /** Returns when the connected runner was last heard, epoch ms; `undefined` if this instance is not the connected one. */
  lastSeenMs(instanceId: string): number | undefined {
    const socket = this.#options.state.record.link.instanceId === instanceId ? this.#current() : undefined;
    const connection = socket && connectionOf(socket);
    return socket && connection && this.#lastSignMs(socket, connection);
  }

  #current(): WebSocket | undefined {
    const { ctx, state } = this.#options;
    const { connectionId } = state.record.link;
    if (connectionId === undefined) return undefined;
    return ctx.getWebSockets(TAG).find((socket) => connectionOf(socket)?.id === connectionId);
  }

  /** Closes unused sockets, the oldest first, to make room for one more. */
  #makeRoom(): void {
    const { ctx, state } = this.#options;
    const idle = ctx
      .getWebSockets(TAG)
      .map((socket) => ({ socket, connection: connectionOf(socket) }))
      .filter(({ connection }) => connection?.id !== state.record.link.connectionId)
      .sort((a, b) => (a.connection?.connectedMs ?? 0) - (b.connection?.connectedMs ?? 0));
    // Not refused for good: one of them may be the runner, before its hello.
    const over = idle.slice(0, Math.max(0, idle.length - MAX_SOCKETS + 2));
    for (const { socket } of over) close(socket, POLICY_VIOLATION, "too many connections");
  }

  /** Closes a connection for a violation. Nothing more is read from it, and the link is down at once. */
  #cut(socket: WebSocket, connection: Connection, code: number, reason: string): void {
    const { state, transactions } = this.#options;
    socket.serializeAttachment({ ...connection, isCut: true } satisfies Connection);
    close(socket, code, reason);
    this.#lastFrameMs.delete(connection.id);
    if (state.record.link.connectionId === connection.id) transactions.run(() => this.#down(true));
  }

  #bad(socket: WebSocket, connection: Connection, error: string): void {
    if (connection.badFrames >= MAX_BAD_FRAMES) {
      this.#cut(socket, connection, POLICY_VIOLATION, "too many frames that are not understood");
      return;
    }
    socket.serializeAttachment({ ...connection, badFrames: connection.badFrames + 1 } satisfies Connection);
    trySend(socket, { type: "error", error: head(error, 500) });
  }
}
