/** OpenCode's HTTP API, as far as the runner uses it. Every call has a time limit. */
import { realpathSync } from "node:fs";
import { contextHeaders, type SpanContext } from "@valet/shared/tracing";
import { z } from "zod";
import type { PromptPart } from "../agent/agent.ts";
import { SecretValues } from "../secrets/secret-values.ts";
import { type AskedEvent, Message, Part, readPending, readStatuses, type SessionStatus } from "./events.ts";

/** OpenCode did not do what it was asked. The text names the call, never its content. */
export class OpenCodeError extends Error {
  override readonly name = "OpenCodeError";
  /** The status that it answered with; none when no answer came. */
  readonly status: number | undefined;

  constructor(call: string, status: number | undefined, options?: ErrorOptions) {
    super(`${call}: ${status ?? "no answer"}`, options);
    this.status = status;
  }
}

export interface OpenCodeClientOptions {
  /** `http://127.0.0.1:PORT`. */
  readonly url: string;
  readonly password: string;
  /** Where the agent works: OpenCode itself runs elsewhere, and sessions of other folders do not count then. */
  readonly directory?: string;
  /** What is taken out of OpenCode's answers. */
  readonly secrets?: SecretValues;
  readonly timeoutMs?: number;
}

/** A message of OpenCode's history with those of its parts that the runner knows. */
export interface HistoryMessage {
  readonly info: z.infer<typeof Message>;
  readonly parts: readonly Part[];
}

/** How far back a history is read. */
export interface HistoryQuery {
  /** How many messages to ask for first. If they do not reach back far enough, older ones are read in pages. */
  readonly expected: number;
  /** Whether nothing that is older than this message is of interest. */
  isFirst(message: HistoryMessage): boolean;
  /** How long all of it may take, in ms. */
  readonly timeoutMs?: number | undefined;
}

export interface Prompt {
  readonly messageID: string;
  readonly model: { readonly providerID: string; readonly modelID: string };
  readonly parts: readonly PromptPart[];
}

const TIMEOUT_MS = 15_000;
const Session = z.object({ id: z.string().min(1), directory: z.string().optional() });
const RawHistory = z.array(z.object({ info: z.unknown(), parts: z.array(z.unknown()) }));
/** The most messages to ask for after the first page of a history. */
const MAX_PAGE = 100;

export class OpenCodeClient {
  readonly url: string;
  /** Of every request. */
  readonly headers: Readonly<Record<string, string>>;
  readonly #timeoutMs: number;
  readonly #directory: string | undefined;
  readonly #secrets: SecretValues;

  constructor({ url, password, directory, secrets, timeoutMs = TIMEOUT_MS }: OpenCodeClientOptions) {
    this.url = url;
    this.#directory = directory;
    this.#secrets = secrets ?? new SecretValues();
    // The user name is OpenCode's default.
    const authorization = `Basic ${btoa(`opencode:${password}`)}`;
    this.headers = {
      authorization,
      ...(directory !== undefined && { "x-opencode-directory": encodeURIComponent(directory) }),
    };
    this.#timeoutMs = timeoutMs;
  }

  async health(timeoutMs: number): Promise<{ version: string | undefined }> {
    const answer = await this.#call("GET", "/global/health", { timeoutMs });
    return { version: z.object({ version: z.string() }).safeParse(answer).data?.version };
  }

  /** @returns the new session's id */
  async createSession(context: SpanContext): Promise<string> {
    const answer = Session.safeParse(await this.#call("POST", "/session", { body: {}, context }));
    if (!answer.success) throw new OpenCodeError("POST /session", 200);
    return answer.data.id;
  }

  /**
   * Whether OpenCode knows the session as one of this folder. It works on a session where that was begun, and tells only those
   * who watch that folder: after the state was moved, nothing would be heard of it, or the wrong files be changed.
   */
  async hasSession(sessionId: string, context: SpanContext): Promise<boolean> {
    try {
      const answer = await this.#call("GET", `/session/${encodeURIComponent(sessionId)}`, { context });
      const directory = Session.safeParse(answer).data?.directory;
      return directory === undefined || this.#directory === undefined || isSameFolder(directory, this.#directory);
    } catch (error) {
      if (error instanceof OpenCodeError && (error.status === 404 || error.status === 400)) return false;
      throw error;
    }
  }

  /** Resolves once OpenCode has taken the prompt; the work itself shows in events. */
  async prompt(sessionId: string, prompt: Prompt, context: SpanContext): Promise<void> {
    await this.#call("POST", `/session/${encodeURIComponent(sessionId)}/prompt_async`, { body: prompt, context });
  }

  /** Resolves when what the session was doing has been told to stop. */
  async abort(sessionId: string, context: SpanContext, timeoutMs: number): Promise<void> {
    await this.#call("POST", `/session/${encodeURIComponent(sessionId)}/abort`, { context, timeoutMs });
  }

  /**
   * Returns the end of the session's history, in order: it begins at or before the first message of interest, or is all of it. A
   * session that has lived for months costs no more to read than a new one. Messages and parts that cannot be read are left out.
   */
  async messages(sessionId: string, context: SpanContext, query: HistoryQuery): Promise<HistoryMessage[]> {
    const { expected, isFirst, timeoutMs = this.#timeoutMs } = query;
    const deadlineMs = performance.now() + timeoutMs;
    const path = `/session/${encodeURIComponent(sessionId)}/message`;
    let messages: HistoryMessage[] = [];
    let before: string | null = null;
    // Without a limit, and with a limit of 0, OpenCode returns the whole history.
    for (let limit = Math.max(1, expected); ; limit = Math.min(2 * limit, MAX_PAGE)) {
      const params = new URLSearchParams({ limit: String(limit), ...(before !== null && { before }) });
      const leftMs = Math.max(1, Math.ceil(deadlineMs - performance.now()));
      const { answer, headers } = await this.#request("GET", `${path}?${params}`, { context, timeoutMs: leftMs });
      const page = readHistory(answer);
      messages = [...page, ...messages];
      before = headers.get("x-next-cursor");
      if (before === null || page.some(isFirst)) return messages;
    }
  }

  /** What the sessions do that are not idle. */
  async statuses(context: SpanContext): Promise<ReadonlyMap<string, SessionStatus>> {
    return readStatuses(await this.#call("GET", "/session/status", { context }));
  }

  /** Returns what waits for a person in the sessions of this folder. What cannot be read of it is left out. */
  async pending(context: SpanContext): Promise<AskedEvent[]> {
    const lists = await Promise.all([
      this.#call("GET", "/permission", { context }),
      this.#call("GET", "/question", { context }),
    ]);
    return readPending(...lists);
  }

  /** Connects the MCP servers that are configured, if that has not been done. @returns the status of each, by its name */
  async mcpServers(timeoutMs: number): Promise<ReadonlyMap<string, string>> {
    const answer = await this.#call("GET", "/mcp", { timeoutMs });
    const servers = z.record(z.string(), z.object({ status: z.string() })).safeParse(answer).data ?? {};
    return new Map(Object.entries(servers).map(([name, { status }]) => [name, status]));
  }

  async replyPermission(permissionId: string, reply: "once" | "always" | "reject"): Promise<void> {
    await this.#call("POST", `/permission/${encodeURIComponent(permissionId)}/reply`, { body: { reply } });
  }

  /** @param answers those to each question, in order; `null` where nobody is going to answer */
  async replyQuestion(questionId: string, answers: readonly (readonly string[])[] | null): Promise<void> {
    const path = `/question/${encodeURIComponent(questionId)}`;
    if (answers === null) await this.#call("POST", `${path}/reject`, { body: {} });
    else await this.#call("POST", `${path}/reply`, { body: { answers } });
  }

  /** Ends every instance and the commands of its tools, which no signal to OpenCode reaches. */
  async dispose(timeoutMs: number): Promise<void> {
    await this.#call("POST", "/global/dispose", { body: {}, timeoutMs });
  }

  async #call(method: "GET" | "POST", path: string, options: CallOptions): Promise<unknown> {
    return (await this.#request(method, path, options)).answer;
  }

  /** @throws OpenCodeError */
  async #request(
    method: "GET" | "POST",
    path: string,
    options: CallOptions,
  ): Promise<{ readonly answer: unknown; readonly headers: Headers }> {
    const { body, context, timeoutMs = this.#timeoutMs } = options;
    // Ids stay out of errors, and so do cursors.
    const name = `${method} ${path.replace(/\/(?:ses|per|que)_[^/?]*/g, "/:id").replace(/\?.*/, "")}`;
    let status: number | undefined;
    try {
      const response = await fetch(`${this.url}${path}`, {
        method,
        signal: AbortSignal.timeout(timeoutMs),
        headers: {
          ...this.headers,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...(context === undefined ? {} : contextHeaders(context)),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      status = response.status;
      const text = await response.text();
      if (!response.ok) throw new OpenCodeError(name, status);
      const answer = text === "" ? undefined : this.#secrets.redactAll(JSON.parse(text) as unknown);
      return { answer, headers: response.headers };
    } catch (error) {
      if (error instanceof OpenCodeError) throw error;
      throw new OpenCodeError(name, status, { cause: error });
    }
  }
}

interface CallOptions {
  readonly body?: unknown;
  readonly context?: SpanContext;
  readonly timeoutMs?: number;
}

function readHistory(answer: unknown): HistoryMessage[] {
  return (RawHistory.safeParse(answer).data ?? []).flatMap(({ info, parts }) => {
    const message = Message.safeParse(info).data;
    if (message === undefined) return [];
    return [{ info: message, parts: parts.flatMap((part) => Part.safeParse(part).data ?? []) }];
  });
}

function isSameFolder(one: string, other: string): boolean {
  try {
    return realpathSync(one) === realpathSync(other);
  } catch {
    return false;
  }
}
