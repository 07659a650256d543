/** A client for the part of OpenCode's HTTP API that the runner uses. Every call has a timeout. */
import { realpathSync } from "node:fs";
import { contextHeaders, type SpanContext } from "@valet/shared/tracing";
import { z } from "zod";
import type { PromptPart } from "../agent/agent.ts";
import { SecretValues } from "../secrets/secret-values.ts";
import { type AskedEvent, Message, Part, readPending, readStatuses, type SessionStatus } from "./events.ts";

/** A call to OpenCode failed. The message names the call, never its content. */
export class OpenCodeError extends Error {
  override readonly name = "OpenCodeError";
  /** The HTTP status; `undefined` without an answer. */
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
  /** The Unix socket by which the server is reached, if not by its address. */
  readonly socket?: string;
  /** The agent's workspace. OpenCode's process runs in another folder, and sessions of other folders do not count. */
  readonly directory?: string;
  /** Secrets that are redacted from OpenCode's answers. */
  readonly secrets?: SecretValues;
  readonly timeoutMs?: number;
}

/** A message of OpenCode's history, with the parts of known types. */
export interface HistoryMessage {
  readonly info: z.infer<typeof Message>;
  readonly parts: readonly Part[];
}

/** How much of a history to read. */
export interface HistoryQuery {
  /** The number of messages to request first. If they do not reach back far enough, older ones are read in pages. */
  readonly expected: number;
  /** Returns whether messages older than this one are not needed. */
  isFirst(message: HistoryMessage): boolean;
  /** The timeout for all pages, in ms. */
  readonly timeoutMs?: number | undefined;
}

export interface Prompt {
  readonly messageID: string;
  readonly model: { readonly providerID: string; readonly modelID: string };
  readonly parts: readonly PromptPart[];
}

const TIMEOUT_MS = 15_000;
const Session = z.object({ id: z.string().min(1), directory: z.string().optional(), title: z.string().optional() });
const RawHistory = z.array(z.object({ info: z.unknown(), parts: z.array(z.unknown()) }));
/** The maximum number of messages in a page after the first one. */
const MAX_PAGE = 100;

const McpStatus = z.object({
  status: z.string(),
  /** Why it failed, in words. */
  error: z.string().optional().catch(undefined),
});
export type McpStatus = z.infer<typeof McpStatus>;

export class OpenCodeClient {
  readonly url: string;
  /** The headers of every request. */
  readonly headers: Readonly<Record<string, string>>;
  readonly #options: OpenCodeClientOptions;
  readonly #timeoutMs: number;
  readonly #directory: string | undefined;
  readonly #secrets: SecretValues;

  constructor(options: OpenCodeClientOptions) {
    const { url, password, directory, secrets, timeoutMs = TIMEOUT_MS } = options;
    this.#options = options;
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

  /** Sends a request to a path of the API. @throws errors of fetch */
  fetch(path: string, init: RequestInit): Promise<Response> {
    const { socket } = this.#options;
    const { headers } = this;
    return fetch(`${this.url}${path}`, {
      ...init,
      headers: { ...headers, ...init.headers },
      ...(socket !== undefined && { unix: socket }),
    });
  }

  async health(timeoutMs: number): Promise<{ version: string | undefined }> {
    const answer = await this.#call("GET", "/global/health", { timeoutMs });
    return { version: z.object({ version: z.string() }).safeParse(answer).data?.version };
  }

  /** Returns a client of the same server that works in another folder. */
  inFolder(directory: string): OpenCodeClient {
    return new OpenCodeClient({ ...this.#options, directory });
  }

  /**
   * @param title OpenCode generates one by default
   * @returns the new session's id
   */
  async createSession(context: SpanContext, title?: string): Promise<string> {
    const body = title === undefined ? {} : { title };
    const answer = Session.safeParse(await this.#call("POST", "/session", { body, context }));
    if (!answer.success) throw new OpenCodeError("POST /session", 200);
    return answer.data.id;
  }

  /**
   * Returns whether OpenCode knows the session as one of this folder. OpenCode works in the folder in which a session was
   * begun, and sends its events only to clients of that folder. After the state was moved, the runner would receive no events,
   * or the agent would change the wrong files.
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

  /** Returns the ids of this folder's sessions with this title, without those of sub-agents. */
  async sessionsTitled(title: string, context: SpanContext): Promise<string[]> {
    const query = new URLSearchParams({ roots: "true", search: title });
    const found = z.array(Session).safeParse(await this.#call("GET", `/session?${query}`, { context })).data ?? [];
    return found.filter((session) => session.title === title).map(({ id }) => id);
  }

  /** Deletes a session with its messages. */
  async deleteSession(sessionId: string, context: SpanContext): Promise<void> {
    await this.#call("DELETE", `/session/${encodeURIComponent(sessionId)}`, { context });
  }

  /** Loads the agent's tools, unless they are loaded. @returns their names */
  async toolNames(context: SpanContext, timeoutMs: number): Promise<string[]> {
    const answer = await this.#call("GET", "/experimental/tool/ids", { context, timeoutMs });
    return z.array(z.string()).safeParse(answer).data ?? [];
  }

  /** Sends a prompt and waits for the end of the agent's work on it. */
  async promptAndWait(sessionId: string, prompt: Prompt, context: SpanContext, timeoutMs: number): Promise<void> {
    const path = `/session/${encodeURIComponent(sessionId)}/message`;
    await this.#call("POST", path, { body: prompt, context, timeoutMs });
  }

  /** Resolves once OpenCode has accepted the prompt. Events report the work on it. */
  async prompt(sessionId: string, prompt: Prompt, context: SpanContext): Promise<void> {
    await this.#call("POST", `/session/${encodeURIComponent(sessionId)}/prompt_async`, { body: prompt, context });
  }

  /** Resolves once OpenCode has accepted the abort of the session's work. */
  async abort(sessionId: string, context: SpanContext, timeoutMs: number): Promise<void> {
    await this.#call("POST", `/session/${encodeURIComponent(sessionId)}/abort`, { context, timeoutMs });
  }

  /**
   * Returns the end of the session's history, in order, from the first needed message or earlier. Reading a session that is
   * months old costs no more than reading a new one. Omits messages and parts that cannot be parsed.
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

  /** Returns the statuses of the sessions that are not idle. */
  async statuses(context: SpanContext): Promise<ReadonlyMap<string, SessionStatus>> {
    return readStatuses(await this.#call("GET", "/session/status", { context }));
  }

  /** Returns the requests to a person that are pending in the sessions of this folder. Omits those that cannot be parsed. */
  async pending(context: SpanContext): Promise<AskedEvent[]> {
    const lists = await Promise.all([
      this.#call("GET", "/permission", { context }),
      this.#call("GET", "/question", { context }),
    ]);
    return readPending(...lists);
  }

  /** Connects the configured MCP servers, unless they are connected already. @returns the status of each, by its name */
  async mcpServers(timeoutMs: number): Promise<ReadonlyMap<string, McpStatus>> {
    const answer = await this.#call("GET", "/mcp", { timeoutMs });
    return new Map(Object.entries(z.record(z.string(), McpStatus).safeParse(answer).data ?? {}));
  }

  async replyPermission(permissionId: string, reply: "once" | "always" | "reject"): Promise<void> {
    await this.#call("POST", `/permission/${encodeURIComponent(permissionId)}/reply`, { body: { reply } });
  }

  /** @param answers to each question, in order; `null` to decline to answer */
  async replyQuestion(questionId: string, answers: readonly (readonly string[])[] | null): Promise<void> {
    const path = `/question/${encodeURIComponent(questionId)}`;
    if (answers === null) await this.#call("POST", `${path}/reject`, { body: {} });
    else await this.#call("POST", `${path}/reply`, { body: { answers } });
  }

  /** Makes OpenCode release its state for this folder. */
  async disposeFolder(): Promise<void> {
    await this.#call("POST", "/instance/dispose", {});
  }

  /** Ends every instance and the commands of its tools, which signals to OpenCode do not reach. */
  async dispose(timeoutMs: number): Promise<void> {
    await this.#call("POST", "/global/dispose", { body: {}, timeoutMs });
  }

  async #call(method: Method, path: string, options: CallOptions): Promise<unknown> {
    return (await this.#request(method, path, options)).answer;
  }

  /** @throws OpenCodeError */
  async #request(
    method: Method,
    path: string,
    options: CallOptions,
  ): Promise<{ readonly answer: unknown; readonly headers: Headers }> {
    const { body, context, timeoutMs = this.#timeoutMs } = options;
    // Errors contain neither ids nor cursors.
    const name = `${method} ${path.replace(/\/(?:ses|per|que)_[^/?]*/g, "/:id").replace(/\?.*/, "")}`;
    let status: number | undefined;
    try {
      const response = await this.fetch(path, {
        method,
        signal: AbortSignal.timeout(timeoutMs),
        headers: {
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

type Method = "GET" | "POST" | "DELETE";

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
