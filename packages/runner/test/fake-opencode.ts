/**
 * A stand-in for OpenCode's HTTP API and event stream that plays recordings of the real one. It answers a prompt with the
 * events of a recorded turn, with ids and times that fit the prompt, as fast as they can be read.
 */
import type { SpanContext } from "@valet/shared/tracing";
import type { Server } from "bun";
import type { AgentAccess, AgentListener, DeathType } from "../src/opencode/agent-access.ts";
import { OpenCodeClient } from "../src/opencode/client.ts";
import { EventStream } from "../src/opencode/event-stream.ts";
import type { AgentEvent } from "../src/opencode/events.ts";
import { OpenCodeStartError } from "../src/opencode/server.ts";
import { loadRecording, type Recording } from "./recordings.ts";

export interface FakePrompt {
  readonly sessionId: string;
  readonly messageId: string;
  readonly model: string;
  readonly texts: readonly string[];
  readonly traceparent: string | null;
  /**
   * Plays the events of a recorded turn: all of them, or those from the first match of `from` to before the first match of
   * `until`.
   * @returns a function that plays the rest
   */
  play(
    recording: string,
    options?: {
      turn?: number;
      from?: (event: RawEvent) => boolean;
      until?: (event: RawEvent) => boolean;
    },
  ): Rest;
}

/** Plays the remaining events, or those before the first match. */
export type Rest = (until?: (event: RawEvent) => boolean) => Rest;

export interface RawEvent {
  readonly id?: string;
  readonly type: string;
  // biome-ignore lint/suspicious/noExplicitAny: OpenCode's own shapes
  readonly properties: any;
}

export interface FakeCall {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly traceparent: string | null;
  readonly body: unknown;
}

export interface FakeOptions {
  /** Handles a prompt. @returns the HTTP status of the answer, 204 by default */
  // biome-ignore lint/suspicious/noConfusingVoidType: most have nothing to say
  onPrompt(prompt: FakePrompt): number | void;
  onAbort?(sessionId: string): void;
  onPermissionReply?(permissionId: string, reply: string): void;
  /** @param answers `null` if a person declined to answer */
  onQuestionReply?(questionId: string, answers: string[][] | undefined): void;
}

const PASSWORD = "fake";
let plays = 0;

export class FakeOpenCode implements AgentAccess, AsyncDisposable {
  readonly calls: FakeCall[] = [];
  readonly prompts: FakePrompt[] = [];
  /** The number of starts. */
  starts = 0;
  /** Whether health checks find that the process exists but does not respond. */
  isFrozen = false;
  /** How often permits that were given ahead became invalid. */
  refusals = 0;
  /** The number of health checks. */
  checks = 0;
  /** Starts wait for this promise. */
  mayStart: Promise<unknown> = Promise.resolve();
  /** Handles requests for a new session instead. */
  onSession: (() => Response) | undefined;
  /** Reads of the history wait for this promise. */
  mayRead: Promise<unknown> = Promise.resolve();
  /** The events that clients have read. */
  readonly heard: AgentEvent[] = [];
  readonly restartCauses: SpanContext[] = [];
  readonly #options: FakeOptions;
  readonly #server: Server<undefined>;
  readonly #listeners = new Set<AgentListener>();
  readonly #streams = new Set<ReadableStreamDefaultController<string>>();
  readonly #sessions = new Set<string>();
  readonly #messages = new Map<string, { info: RawEvent["properties"]; parts: Map<string, unknown> }>();
  readonly #statuses = new Map<string, unknown>();
  /** The pending requests to a person, by their ids. */
  readonly #pending = new Map<string, RawEvent>();
  #running: Promise<{ client: OpenCodeClient; stream: EventStream }> | undefined;

  constructor(options: FakeOptions) {
    this.#options = options;
    this.#server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      idleTimeout: 60,
      fetch: (request) => this.#answer(request),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    (await this.#running)?.stream.close();
    await this.#server.stop(true);
  }

  async ready(): Promise<OpenCodeClient> {
    this.#running ??= this.#start();
    return (await this.#running).client;
  }

  async begin<T>(_parent: unknown, request: (client: OpenCodeClient) => Promise<T>): Promise<T> {
    return request(await this.ready());
  }

  async check(onSilent: () => void): Promise<boolean> {
    this.checks++;
    if (!this.isFrozen) return false;
    onSilent();
    await this.die("opencode_hung");
    return true;
  }

  restart(cause: SpanContext): void {
    this.restartCauses.push(cause);
    this.#running ??= this.#start();
  }

  refuseCalls(): void {
    this.refusals++;
  }

  subscribe(listener: AgentListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Simulates the end of the process. */
  async die(errorType: DeathType = "opencode_died"): Promise<void> {
    const running = await this.#running;
    this.isFrozen = false;
    this.#running = undefined;
    running?.stream.close();
    for (const listener of [...this.#listeners]) listener.onDeath(errorType);
  }

  /** Breaks the event stream. Events that are played in the meantime are not sent. */
  breakStreams(): void {
    for (const stream of this.#streams) stream.close();
    this.#streams.clear();
  }

  async #start() {
    this.starts++;
    await this.mayStart;
    const url = `http://127.0.0.1:${this.#server.port}`;
    const client = new OpenCodeClient({ url, password: PASSWORD });
    const stream = new EventStream({
      client,
      onEvent: (event, readMs) => {
        this.heard.push(event);
        for (const listener of [...this.#listeners]) listener.onEvent(event, readMs);
      },
      onReconnected: () => {
        for (const listener of [...this.#listeners]) listener.onReconnected();
      },
    });
    try {
      await stream.connect();
    } catch {
      throw new OpenCodeStartError("unhealthy");
    }
    return { client, stream };
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname: path, searchParams: query } = new URL(request.url);
    if (request.headers.get("authorization") !== `Basic ${btoa(`opencode:${PASSWORD}`)}`) {
      return new Response("unauthorized", { status: 401 });
    }
    if (path === "/event") return this.#stream();
    const text = await request.text();
    const body = text === "" ? undefined : JSON.parse(text);
    const traceparent = request.headers.get("traceparent");
    this.calls.push({ method: request.method, path, query: query.toString(), traceparent, body });
    const [, root, id = "", action] = path.split("/");
    if (path === "/session/status") return Response.json(Object.fromEntries(this.#statuses));
    if (path === "/permission" || path === "/question") {
      const own = [...this.#pending.values()].filter(({ type }) => type === `${root}.asked`);
      return Response.json(own.map(({ properties }) => properties));
    }
    if (root === "permission") {
      this.#options.onPermissionReply?.(id, body.reply);
      return Response.json(true);
    }
    if (root === "question") {
      this.#options.onQuestionReply?.(id, action === "reject" ? undefined : body.answers);
      return Response.json(true);
    }
    if (path === "/session" && this.onSession !== undefined) return this.onSession();
    if (path === "/session") {
      const session = `ses_${++plays}fake`;
      this.#sessions.add(session);
      return Response.json({ id: session });
    }
    if (!this.#sessions.has(id)) return new Response("not found", { status: 404 });
    if (action === "prompt_async") return this.#prompt(id, body, traceparent);
    if (action === "abort") {
      this.#options.onAbort?.(id);
      return Response.json(true);
    }
    if (action === "message") {
      const own = [...this.#messages.values()].filter(({ info }) => info.sessionID === id);
      const { page, next } = pageOf(own, query);
      const answer = Response.json(
        page.map(({ info, parts }) => ({ info, parts: [...parts.values()] })),
        { headers: next === undefined ? {} : { "x-next-cursor": next } },
      );
      // Later events are not in it.
      await this.mayRead;
      return answer;
    }
    return Response.json({ id });
  }

  #stream(): Response {
    let own: ReadableStreamDefaultController<string>;
    const stream = new ReadableStream<string>({
      start: (controller) => {
        own = controller;
        this.#streams.add(controller);
        controller.enqueue(`data: ${JSON.stringify({ type: "server.connected", properties: {} })}\n\n`);
      },
      cancel: () => void this.#streams.delete(own),
    });
    return new Response(stream.pipeThrough(new TextEncoderStream()), {
      headers: { "content-type": "text/event-stream" },
    });
  }

  // biome-ignore lint/suspicious/noExplicitAny: what the client sends is what is tested
  #prompt(sessionId: string, body: any, traceparent: string | null): Response {
    const prompt: FakePrompt = {
      sessionId,
      messageId: body.messageID,
      model: `${body.model.providerID}/${body.model.modelID}`,
      texts: body.parts.map(({ text }: { text: string }) => text),
      traceparent,
      play: (name, { turn = 0, from = () => true, until = () => false } = {}) => {
        const all = retell(loadRecording(name), turn, sessionId, body.messageID);
        return this.#play(all.slice(all.findIndex(from)), until);
      },
    };
    this.prompts.push(prompt);
    return new Response(null, { status: this.#options.onPrompt(prompt) ?? 204 });
  }

  #play(events: readonly RawEvent[], until: (event: RawEvent) => boolean): Rest {
    const end = events.findIndex(until);
    for (const event of end < 0 ? events : events.slice(0, end)) this.#send(event);
    return (further = () => false) => this.#play(end < 0 ? [] : events.slice(end), further);
  }

  /** Sends one event. */
  send(event: RawEvent): void {
    this.#send(event);
  }

  /** What is played meanwhile is remembered, and told in no event. */
  loseEvents(play: () => void): void {
    const streams = [...this.#streams];
    this.#streams.clear();
    play();
    for (const stream of streams) this.#streams.add(stream);
  }

  /** As if the work on a session had ended without an event. */
  stopWork(sessionId: string): void {
    this.#statuses.delete(sessionId);
  }

  #send(event: RawEvent): void {
    this.#remember(event);
    for (const stream of this.#streams) stream.enqueue(`data: ${JSON.stringify(event)}\n\n`);
  }

  #remember(event: RawEvent): void {
    const { type, properties } = event;
    if (type === "permission.asked" || type === "question.asked") this.#pending.set(properties.id, event);
    else if (/^(permission|question)\.re/.test(type)) this.#pending.delete(properties.requestID);
    else if (type === "message.updated") {
      const parts = this.#messages.get(properties.info.id)?.parts ?? new Map();
      this.#messages.set(properties.info.id, { info: properties.info, parts });
    } else if (type === "message.part.updated") {
      this.#messages.get(properties.part.messageID)?.parts.set(properties.part.id, properties.part);
    } else if (type === "session.status") {
      if (properties.status.type === "idle") this.#statuses.delete(properties.sessionID);
      else this.#statuses.set(properties.sessionID, properties.status);
    }
  }
}

/** Returns a page of the newest messages, or of those before a cursor, like OpenCode. */
function pageOf<M extends { readonly info: { readonly id: string } }>(messages: readonly M[], query: URLSearchParams) {
  const limit = Number(query.get("limit"));
  const before = query.get("before");
  const end = before === null ? messages.length : messages.findIndex(({ info }) => info.id === before);
  const start = limit === 0 ? 0 : Math.max(0, end - limit);
  const page = messages.slice(start, end);
  return { page, next: start > 0 ? page[0]?.info.id : undefined };
}

/** Returns the events from a recorded prompt to the next one, changed so that they answer another prompt now. */
function retell(recording: Recording, turn: number, sessionId: string, messageId: string): RawEvent[] {
  const prompts = recording.calls.filter(({ path }) => path.endsWith("/prompt_async"));
  const prompt = prompts[turn];
  if (prompt === undefined) throw new Error(`${recording.name} has no turn ${turn}`);
  const play = ++plays;
  const recordedSession = prompt.path.split("/")[2] as string;
  const shiftMs = Date.now() - (recording.startedAt + prompt.at);
  const ids = new Map([
    [recordedSession, sessionId],
    [prompt.body?.messageID as string, messageId],
  ]);
  const rename = (text: string) =>
    text.replace(/\b(?:msg|prt|ses|per|que|call)_\w+/g, (id) => ids.get(id) ?? `${id}x${play}`);
  const sessionOf = ({ path }: { path: string }) => path.split("/")[2] as string;
  const next = prompts.find((other, index) => index > turn && sessionOf(other) === recordedSession);
  const others = prompts.map(sessionOf).filter((session) => session !== recordedSession);
  const texts = recording.events.map(({ event }) => JSON.stringify(event));
  // Events are read in batches, so a prompt may have been sent before the events of the previous turn were read.
  const firstOf = (call: typeof prompt) => texts.findIndex((text) => text.includes(call.body?.messageID as string));
  const [start, end] = [firstOf(prompt), next === undefined ? texts.length : firstOf(next)];
  return recording.events
    .filter((_event, index) => {
      const isOthers = others.some((session) => texts[index]?.includes(session));
      return index >= start && index < end && !isOthers;
    })
    .map(({ at, event }) => {
      const text = JSON.stringify(event, (_key, value: unknown) => {
        const isTime = typeof value === "number" && Math.abs(value - recording.startedAt) < 3_600_000;
        return isTime ? value + shiftMs : value;
      });
      const { type, properties } = JSON.parse(rename(text)) as RawEvent;
      return { id: eventId(recording.startedAt + at + shiftMs), type, properties };
    });
}

function eventId(ms: number): string {
  const digits = ((BigInt(ms) * 4096n) & 0xffff_ffff_ffffn).toString(16).padStart(12, "0");
  return `evt_${digits}0000`;
}
