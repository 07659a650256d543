/** Runs and times one session from outside. */
import { randomUUID } from "node:crypto";
import type { ClientEvent } from "@valet/shared/protocol/client-socket";
import type { SessionView } from "@valet/shared/protocol/session-view";
import type { ApiClient } from "../../packages/cli/src/api-client.ts";
import type { Connection } from "../../packages/cli/src/system/state.ts";
import { SessionSocket } from "./session-socket.ts";

/** A running system. */
export interface Reachable {
  readonly connection: Connection;
  readonly api: ApiClient;
}

/** Times of one turn in ms, from the sending of the message, except for the turn record's own. */
export interface TurnTimes {
  /** Until the answer 202. */
  readonly accepted: number;
  /** Until the first text on the WebSocket. */
  readonly firstText: number;
  /** Until the outcome on the WebSocket. */
  readonly done: number;
  /** `time_to_first_token_ms` of the turn record: from the runner's acceptance to its first token. */
  readonly firstToken: number;
}

export class Session {
  readonly id: string;
  /** From the request that created or woke it until the runner is idle. */
  readonly idleMs: number;
  readonly #valet: Reachable;
  readonly #socket: SessionSocket;

  private constructor(valet: Reachable, id: string, socket: SessionSocket, idleMs: number) {
    this.#valet = valet;
    this.id = id;
    this.#socket = socket;
    this.idleMs = idleMs;
  }

  static async create(valet: Reachable, repoUrl: string): Promise<Session> {
    const startMs = performance.now();
    const { id } = await valet.api.createSession({ repoUrl });
    const socket = await SessionSocket.open(valet.connection, id);
    const { atMs } = await socket.when("an idle agent", (event) => isSession(event, ({ agent }) => agent === "idle"));
    return new Session(valet, id, socket, atMs - startMs);
  }

  /** Wakes a hibernated session. */
  static async wake(valet: Reachable, id: string): Promise<Session> {
    const socket = await SessionSocket.open(valet.connection, id);
    const startMs = performance.now();
    const idle = socket.when("an idle agent", (event) => isSession(event, ({ agent }) => agent === "idle"));
    const [, { atMs }] = await Promise.all([valet.api.change(id, "wake"), idle]);
    return new Session(valet, id, socket, atMs - startMs);
  }

  /**
   * Creates a session with its first message, waits for its answer, and terminates it.
   * @returns the time from the request to the answer's first text, in ms
   */
  static async createWithMessage(valet: Reachable, repoUrl: string, prompt: string): Promise<number> {
    const startMs = performance.now();
    const { id } = await valet.api.createSession({ repoUrl, prompt });
    const socket = await SessionSocket.open(valet.connection, id);
    const answer = socket.when("the outcome", (event) =>
      event.type === "message" ? event.message.outcome : undefined,
    );
    const text = await socket.when("text", (event) => (isText(event) ? true : undefined));
    if ((await answer).value !== "ok") throw new Error("the first message of a session failed");
    const ended = socket.when("its end", (event) =>
      event.type === "session" && event.session.status === "terminated" ? true : undefined,
    );
    await Promise.all([valet.api.change(id, "terminate"), ended]);
    socket.close();
    return text.atMs - startMs;
  }

  /** Runs a turn. @throws when the turn fails */
  async turn(content: string): Promise<TurnTimes> {
    const messageId = `msg_${randomUUID()}`;
    const seen = Promise.all([
      this.#socket.when("text", (event) => (holdsText(event, messageId) ? true : undefined)),
      this.#socket.when("the outcome", (event) => outcomeOf(event, messageId)),
      this.#socket.when("the turn's record", (event) =>
        event.type === "turn" && event.turn.message_ids.includes(messageId) ? event.turn : undefined,
      ),
    ]);
    const startMs = performance.now();
    const accepted = this.#valet.api.sendMessage(this.id, { id: messageId, content }).then(() => performance.now());
    const [acceptedMs, [text, outcome, record]] = await Promise.all([accepted, seen]);
    const firstToken = record.value.time_to_first_token_ms;
    if (outcome.value !== "ok" || firstToken === null) throw new Error(`a turn ended with "${outcome.value}"`);
    return {
      accepted: acceptedMs - startMs,
      firstText: text.atMs - startMs,
      done: outcome.atMs - startMs,
      firstToken,
    };
  }

  async hibernate(): Promise<void> {
    const hibernated = this.#socket.when("hibernation", (event) =>
      isSession(event, ({ status }) => status === "hibernated"),
    );
    await Promise.all([this.#valet.api.change(this.id, "hibernate"), hibernated]);
  }

  /** Closes the socket; the session continues. */
  leave(): void {
    this.#socket.close();
  }
}

/** Returns whether the session has reached the wanted state; throws when it no longer can. */
function isSession(event: ClientEvent, is: (session: SessionView) => boolean): true | undefined {
  if (event.type !== "session") return undefined;
  const { status, errorType } = event.session;
  if (status === "error" || status === "terminated") throw new Error(`the session is ${status}: ${errorType}`);
  return is(event.session) ? true : undefined;
}

function holdsText(event: ClientEvent, messageId: string): boolean {
  const id = event.type === "part" ? event.messageId : event.type === "message" ? event.message.id : undefined;
  return id === messageId && isText(event);
}

/** A short answer may be complete before its first part is reported separately. */
function isText(event: ClientEvent): boolean {
  if (event.type === "part") return event.part.type === "text";
  return event.type === "message" && event.message.parts.length > 0;
}

function outcomeOf(event: ClientEvent, messageId: string): string | undefined {
  return event.type === "message" && event.message.id === messageId ? event.message.outcome : undefined;
}
