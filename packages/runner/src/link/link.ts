/**
 * The runner's end of the link: a WebSocket to the session's SessionAgent that is made anew whenever it breaks. What must not
 * be lost is kept by its owners, who are told when there is a link to send it over.
 */
import { LIMITS } from "@valet/shared/limits";
import {
  type FromRunner,
  type FromRunnerOf,
  LINK_PING,
  LINK_PONG,
  MAX_LINK_FRAME_BYTES,
  parseToRunner,
  type ToRunner,
  type ToRunnerOf,
} from "@valet/shared/protocol/runner-link";
import type { ErrorType } from "@valet/shared/spans";
import { encodeToFit } from "./fit-frame.ts";

/** What is done with each type of frame. What a handler throws is reported, and the link goes on. */
export type LinkHandlers = { readonly [T in ToRunner["type"]]: (message: ToRunnerOf<T>) => void };

export interface LinkOptions {
  readonly url: string;
  readonly token: string;
  readonly generation: number;
  readonly instanceId: string;
  readonly handlers: LinkHandlers;
  /** The first frame of each connection. */
  hello(): FromRunnerOf<"hello">;
  /** There is a link and `hello` is on it: what is unacknowledged goes out now. */
  onUp(): void;
  onDown(): void;
  /** The connection was refused for good, by its HTTP status or close code; the frame that says so has a handler of its own. */
  onRefused(reason: ToRunnerOf<"refused">["reason"]): void;
  /** What went wrong and was survived; never quotes a frame. */
  onProblem(problem: string): void;
  /** How often the other side is asked whether it is there; unanswered twice, the link counts as broken. */
  readonly heartbeatMs?: number;
  /** Whether there is work: then the other side hears more often that this process lives. */
  isWorking?(): boolean;
  /** How often, in milliseconds. */
  readonly signMs?: number;
  readonly connectTimeoutMs?: number;
  readonly firstDelayMs?: number;
  readonly maxDelayMs?: number;
  /** 0 to 1 */
  readonly random?: () => number;
}

/** How often it is said that this process lives, while it works. */
const SIGN_MS = 1_000;
const MAX_SILENT_BEATS = 2;
/** What the SessionAgent closes a link with that it will not have. */
const REFUSAL_CODES = new Map<number, ToRunnerOf<"refused">["reason"]>([
  [4401, "token_refused"],
  [4409, "stale_generation"],
  [4410, "superseded"],
  [4412, "protocol_unsupported"],
]);

export class Link {
  readonly #options: Required<Omit<LinkOptions, "isWorking">> & LinkOptions;
  #socket: WebSocket | undefined;
  /** Tries since the link last held. */
  #failures = 0;
  #attemptCount = 0;
  #isUp = false;
  #isClosed = false;
  #silentBeats = 0;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #heartbeat: ReturnType<typeof setInterval> | undefined;
  #signs: ReturnType<typeof setInterval> | undefined;

  constructor(options: LinkOptions) {
    this.#options = {
      heartbeatMs: LIMITS.heartbeatMs,
      signMs: SIGN_MS,
      connectTimeoutMs: LIMITS.connectMs,
      firstDelayMs: 250,
      maxDelayMs: LIMITS.reconnectDelayMs,
      random: Math.random,
      ...options,
    };
  }

  /** How often a connection was tried, in all. */
  get attemptCount(): number {
    return this.#attemptCount;
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  start(): void {
    if (!this.#isClosed && this.#socket === undefined) this.#connect();
  }

  /** Sends a frame, cut where it is too long. False when it did not go out: the owner keeps what must not be lost. */
  send(frame: FromRunner): boolean {
    if (!this.#isUp || this.#socket?.readyState !== WebSocket.OPEN) return false;
    const text = encodeToFit(frame);
    if (text === undefined) {
      this.#options.onProblem(`a frame of type ${frame.type} is too long for the link`);
      return true;
    }
    this.#socket.send(text);
    return true;
  }

  /** Ends the link for good. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#retryTimer);
    this.#drop();
  }

  #connect(): void {
    const { url, token, generation, instanceId, connectTimeoutMs } = this.#options;
    this.#attemptCount++;
    const socket = new WebSocket(url, {
      headers: {
        authorization: `Bearer ${token}`,
        "x-valet-generation": String(generation),
        "x-valet-instance": instanceId,
      },
    });
    this.#socket = socket;
    const isCurrent = () => this.#socket === socket;
    const timer = setTimeout(() => isCurrent() && this.#lost(), connectTimeoutMs);
    socket.onopen = () => {
      clearTimeout(timer);
      if (isCurrent()) this.#opened(socket);
    };
    socket.onmessage = ({ data }) => {
      if (isCurrent()) this.#received(data);
    };
    socket.onerror = (event) => {
      // The status of a refused upgrade is told nowhere else.
      const isRefused = /\bstatus code: 40[13]\b/.test((event as ErrorEvent).message ?? "");
      if (isRefused && isCurrent()) this.#options.onRefused("token_refused");
    };
    socket.onclose = ({ code }) => {
      clearTimeout(timer);
      if (!isCurrent()) return;
      const reason = REFUSAL_CODES.get(code);
      if (reason !== undefined) this.#options.onRefused(reason);
      else this.#lost();
    };
  }

  #opened(socket: WebSocket): void {
    this.#isUp = true;
    this.#silentBeats = 0;
    this.#heartbeat = setInterval(() => this.#beat(socket), this.#options.heartbeatMs);
    this.#signs = setInterval(() => this.#sign(socket), this.#options.signMs);
    this.send(this.#options.hello());
    this.#guard("reconnecting", () => this.#options.onUp());
  }

  #beat(socket: WebSocket): void {
    if (this.#silentBeats++ >= MAX_SILENT_BEATS) {
      this.#options.onProblem("the link is silent");
      this.#lost();
    } else {
      socket.send(LINK_PING);
    }
  }

  /** The platform takes it without waking the object, which looks now and then when the last one came. */
  #sign(socket: WebSocket): void {
    if (this.#options.isWorking?.() === true && socket.readyState === WebSocket.OPEN) socket.send(LINK_PING);
  }

  #received(data: unknown): void {
    this.#silentBeats = 0;
    if (data === LINK_PONG) return;
    if (typeof data === "string" && Buffer.byteLength(data) <= MAX_LINK_FRAME_BYTES) this.#receivedFrame(data);
    else this.#options.onProblem("a frame was skipped: too long, or no text");
  }

  #receivedFrame(data: string): void {
    const parsed = parseToRunner(data);
    if (!parsed.ok) {
      this.#options.onProblem(`a frame was skipped: ${parsed.error}`);
      this.#refuseDispatch(data);
      return;
    }
    // The other side means it: only now has the link held.
    this.#failures = 0;
    const { message } = parsed;
    const handle = this.#options.handlers[message.type] as (message: ToRunner) => void;
    this.#guard(message.type, () => handle(message));
  }

  /** A dispatch that cannot be read is refused, where it can be told which: its queue need not wait for nothing. */
  #refuseDispatch(data: string): void {
    const refused = dispatchIn(data);
    if (refused !== undefined) this.send({ type: "attempt-refused", ...refused });
  }

  #lost(): void {
    this.#drop();
    if (this.#isClosed) return;
    const { firstDelayMs, maxDelayMs, random } = this.#options;
    // Between half of it and all: runners that lost the same peer do not come back at once.
    const delayMs = Math.min(firstDelayMs * 2 ** this.#failures, maxDelayMs) * (0.5 + random() / 2);
    this.#failures++;
    this.#retryTimer = setTimeout(() => this.#connect(), delayMs);
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    clearInterval(this.#heartbeat);
    clearInterval(this.#signs);
    // Bun sends what is buffered before it closes; a peer that does not answer is not waited for.
    socket?.close();
    if (!this.#isUp) return;
    this.#isUp = false;
    this.#guard("the end of the link", () => this.#options.onDown());
  }

  #guard(what: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#options.onProblem(`handling ${what} failed: ${(error as Error).name}`);
    }
  }
}

/** Why each kind of dispatch is refused that cannot be read. */
const UNREADABLE: { readonly [type: string]: ErrorType | undefined } = {
  prompt: "_OTHER",
  "workflow-execute": "workflow_invalid",
};

function dispatchIn(data: string): { attemptId: string; errorType: ErrorType } | undefined {
  try {
    const { type, dispatch } = JSON.parse(data) as { type?: unknown; dispatch?: { attemptId?: unknown } };
    const attemptId = dispatch?.attemptId;
    const errorType = UNREADABLE[String(type)];
    if (errorType === undefined || typeof attemptId !== "string" || !/^.{1,128}$/.test(attemptId)) return undefined;
    return { attemptId, errorType };
  } catch {
    return undefined;
  }
}
