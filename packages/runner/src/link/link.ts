/**
 * The runner's end of the link: a WebSocket to the session's SessionAgent that reconnects whenever it breaks. The senders keep
 * what must not be lost, and are called when there is a link to send it over.
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

/** The handlers of frames, by type. An error of a handler is reported, and the link stays up. */
export type LinkHandlers = { readonly [T in ToRunner["type"]]: (message: ToRunnerOf<T>) => void };

export interface LinkOptions {
  readonly url: string;
  readonly token: string;
  readonly generation: number;
  readonly instanceId: string;
  readonly handlers: LinkHandlers;
  /** The first frame of each connection. */
  hello(): FromRunnerOf<"hello">;
  /** Called after `hello` was sent on a new connection, to send what is unacknowledged. */
  onUp(): void;
  onDown(): void;
  /** Called if the HTTP status or close code refuses the connection permanently. The `refused` frame has its own handler. */
  onRefused(reason: ToRunnerOf<"refused">["reason"]): void;
  /** Receives problems after which the link stays usable; never quotes a frame. */
  onProblem(problem: string): void;
  /** The interval of pings, in milliseconds. After two unanswered pings the link counts as broken. */
  readonly heartbeatMs?: number;
  /** Whether a job is running. Then the runner sends signs of life, at the interval `signMs`. */
  isWorking?(): boolean;
  /** In milliseconds. */
  readonly signMs?: number;
  readonly connectTimeoutMs?: number;
  readonly firstDelayMs?: number;
  readonly maxDelayMs?: number;
  /** 0 to 1 */
  readonly random?: () => number;
}

const SIGN_MS = 1_000;
const MAX_SILENT_BEATS = 2;
/** The close codes with which the SessionAgent refuses a link. */
const REFUSAL_CODES = new Map<number, ToRunnerOf<"refused">["reason"]>([
  [4401, "token_refused"],
  [4409, "stale_generation"],
  [4410, "superseded"],
  [4412, "protocol_unsupported"],
]);

export class Link {
  readonly #options: Required<Omit<LinkOptions, "isWorking">> & LinkOptions;
  #socket: WebSocket | undefined;
  /** The number of tries since the SessionAgent last sent a frame. */
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

  /** The total number of tries. */
  get attemptCount(): number {
    return this.#attemptCount;
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  start(): void {
    if (!this.#isClosed && this.#socket === undefined) this.#connect();
  }

  /** Sends a frame, shortened if it is too long. @returns false if it was not sent; the sender keeps what must not be lost */
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

  /** Ends the link permanently. */
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
      // Only this message contains the status of a refused upgrade.
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
      this.#options.onProblem("the SessionAgent does not answer pings");
      this.#lost();
    } else {
      socket.send(LINK_PING);
    }
  }

  /** Sends a sign of life. The platform answers it without waking the object, which sometimes checks when the last one came. */
  #sign(socket: WebSocket): void {
    if (this.#options.isWorking?.() === true && socket.readyState === WebSocket.OPEN) socket.send(LINK_PING);
  }

  #received(data: unknown): void {
    this.#silentBeats = 0;
    if (data === LINK_PONG) return;
    if (typeof data === "string" && Buffer.byteLength(data) <= MAX_LINK_FRAME_BYTES) this.#receivedFrame(data);
    else this.#options.onProblem("ignored a frame that was too long or not text");
  }

  #receivedFrame(data: string): void {
    const parsed = parseToRunner(data);
    if (!parsed.ok) {
      this.#options.onProblem(`ignored a frame: ${parsed.error}`);
      this.#refuseDispatch(data);
      return;
    }
    // Only a frame proves that the SessionAgent accepted the connection.
    this.#failures = 0;
    const { message } = parsed;
    const handle = this.#options.handlers[message.type] as (message: ToRunner) => void;
    this.#guard(message.type, () => handle(message));
  }

  /** Refuses a dispatch that cannot be parsed, if it has an attempt id, so the queue does not wait in vain. */
  #refuseDispatch(data: string): void {
    const refused = dispatchIn(data);
    if (refused !== undefined) this.send({ type: "attempt-refused", ...refused });
  }

  #lost(): void {
    this.#drop();
    if (this.#isClosed) return;
    const { firstDelayMs, maxDelayMs, random } = this.#options;
    // With jitter, so runners that lost the same peer do not reconnect at the same time.
    const delayMs = Math.min(firstDelayMs * 2 ** this.#failures, maxDelayMs) * (0.5 + random() / 2);
    this.#failures++;
    this.#retryTimer = setTimeout(() => this.#connect(), delayMs);
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    clearInterval(this.#heartbeat);
    clearInterval(this.#signs);
    // Bun sends what is buffered before it closes, and does not wait for an unresponsive peer.
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

/** The error types with which unreadable dispatches are refused. */
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
