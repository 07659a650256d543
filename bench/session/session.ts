/** One session and what it does, timed from outside. */
import { randomUUID } from "node:crypto";
import type { ClientEvent } from "@valet/shared/protocol/client-socket";
import type { SessionView } from "@valet/shared/protocol/session-view";
import { SessionSocket } from "./session-socket.ts";
import type { Valet } from "./valet.ts";

/** Times of one turn, ms; but for the turn record's own, from the sending of the message. */
export interface TurnTimes {
  /** To the answer 202. */
  readonly accepted: number;
  /** To the first text on the WebSocket. */
  readonly firstText: number;
  /** To the outcome on the WebSocket. */
  readonly done: number;
  /** `time_to_first_token_ms` of the turn record: from the runner's acceptance to the first token that it saw. */
  readonly firstToken: number;
}

export class Session {
  readonly id: string;
  /** From the request to the runner being idle. */
  readonly idleMs: number;
  readonly #valet: Valet;
  readonly #socket: SessionSocket;

  private constructor(valet: Valet, id: string, socket: SessionSocket, idleMs: number) {
    this.#valet = valet;
    this.id = id;
    this.#socket = socket;
    this.idleMs = idleMs;
  }

  static async create(valet: Valet, repoUrl: string): Promise<Session> {
    const startMs = performance.now();
    const { id } = await valet.api.createSession({ repoUrl });
    const socket = await SessionSocket.open(valet.connection, id);
    const { atMs } = await socket.when("an idle agent", (event) => isSession(event, ({ agent }) => agent === "idle"));
    return new Session(valet, id, socket, atMs - startMs);
  }

  /** @throws when the turn does not end well */
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

  /** The session lives on. */
  leave(): void {
    this.#socket.close();
  }
}

/** Whether the session is what it should become; throws when it will not any more. */
function isSession(event: ClientEvent, is: (session: SessionView) => boolean): true | undefined {
  if (event.type !== "session") return undefined;
  const { status, errorType } = event.session;
  if (status === "error" || status === "terminated") throw new Error(`the session is ${status}: ${errorType}`);
  return is(event.session) ? true : undefined;
}

/** A short answer may be complete before its first part is told apart. */
function holdsText(event: ClientEvent, messageId: string): boolean {
  if (event.type === "part") return event.messageId === messageId && event.part.type === "text";
  return event.type === "message" && event.message.id === messageId && event.message.parts.length > 0;
}

function outcomeOf(event: ClientEvent, messageId: string): string | undefined {
  return event.type === "message" && event.message.id === messageId ? event.message.outcome : undefined;
}
