/** The server: receives requests, records them, and plays the scenario's replies. */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { type CompletionWriter, jsonWriter, streamWriter } from "./completion.ts";
import { type ChatRequest, chatRequestSchema, readConversation } from "./conversation.ts";
import { errorBody, type Frame, framesOf } from "./frames.ts";
import { Holds } from "./holds.ts";
import { Attempts, findReply } from "./match.ts";
import type { Scenario } from "./scenario.ts";

/** An OpenCode request is about 35 KB plus its tools' output; the limit is for faulty clients. */
const maxBodyBytes = 32 * 1024 * 1024;
const maxRecordedRequests = 500;
const maxRememberedConversations = 2_000;

/**
 * A recorded request and the state of its answer. Times are epoch milliseconds.
 *
 * `outcome` is `open` while the answer is being sent, then `done` (a complete answer or a scripted HTTP error), `cut`,
 * `client_gone` (the client disconnected first, or the server was stopped) or `refused` (no rule, or a bad request).
 */
export interface RecordedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** The parsed JSON body; `undefined` if it is missing or not JSON. */
  body: unknown;
  readonly receivedAt: number;
  firstByteAt: number | undefined;
  endedAt: number | undefined;
  status: number | undefined;
  /** The name of the rule that answered. */
  rule: string | undefined;
  outcome: "open" | "done" | "cut" | "client_gone" | "refused";
}

export interface ScriptedModelOptions {
  scenario: Scenario;
  /** 0, the default, chooses a free port. */
  port?: number;
  host?: string;
  /**
   * Called when a request's rule is known and before anything is sent; the object is updated while the answer is sent.
   */
  onRequest?: (request: RecordedRequest) => void;
}

export interface ScriptedModel {
  /** The provider's base URL, `/v1` included. */
  readonly url: string;
  /** The newest requests, oldest first; at most 500. */
  requests(): readonly RecordedRequest[];
  /** Takes effect with the next request; answers that have begun continue. */
  setScenario(scenario: Scenario): void;
  /** Answers that wait at a `hold` with this name continue, and later ones do not wait there. */
  release(name: string): void;
  /** Ends open answers and releases the port. */
  close(): Promise<void>;
}

class RequestError extends Error {
  readonly status: number;
  readonly code: string | undefined;

  constructor(status: number, message: string, code?: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes <= maxBodyBytes) parts.push(part);
  }
  // The rest is still read: leaving the loop early would close the connection before the answer.
  if (bytes > maxBodyBytes) throw new RequestError(413, `request body over ${maxBodyBytes} bytes`);
  try {
    return JSON.parse(Buffer.concat(parts).toString("utf8"));
  } catch {
    throw new RequestError(400, "request body is not JSON");
  }
}

function readChatRequest(body: unknown): ChatRequest {
  const result = chatRequestSchema.safeParse(body);
  if (!result.success) throw new RequestError(400, z.prettifyError(result.error));
  return result.data;
}

/** Starts a server that plays a scenario on a loopback port. */
export async function startScriptedModel(options: ScriptedModelOptions): Promise<ScriptedModel> {
  let scenario = options.scenario;
  const attempts = new Attempts(maxRememberedConversations);
  const recorded: RecordedRequest[] = [];
  const holds = new Holds();

  const server = createServer((request, response) => {
    const record: RecordedRequest = {
      method: request.method ?? "",
      path: (request.url ?? "/").replace(/\?.*/su, ""),
      headers: { ...request.headers },
      body: undefined,
      receivedAt: Date.now(),
      firstByteAt: undefined,
      endedAt: undefined,
      status: undefined,
      rule: undefined,
      outcome: "open",
    };
    recorded.push(record);
    if (recorded.length > maxRecordedRequests) recorded.shift();
    const disconnected = new AbortController();
    response.on("close", () => {
      record.endedAt = Date.now();
      if (record.outcome === "open") record.outcome = response.writableFinished ? "done" : "client_gone";
      disconnected.abort();
    });
    answer(request, response, record, disconnected.signal).catch((error: unknown) => {
      if (!disconnected.signal.aborted) refuse(response, record, error);
    });
  });

  async function answer(
    request: IncomingMessage,
    response: ServerResponse,
    record: RecordedRequest,
    disconnected: AbortSignal,
  ): Promise<void> {
    const route = `${record.method} ${record.path}`;
    if (route === "GET /v1/models") {
      const data = scenario.models.map((id) => ({ id, object: "model", created: 0, owned_by: "scripted-model" }));
      sendJson(response, record, 200, {}, { object: "list", data });
      return;
    }
    if (route !== "POST /v1/chat/completions") throw new RequestError(404, `no such endpoint: ${route}`);

    record.body = await readJson(request);
    const chat = readChatRequest(record.body);
    const sessionId = request.headers["x-session-id"];
    const conversation = readConversation(chat, typeof sessionId === "string" ? sessionId : undefined);
    const match = findReply(scenario, conversation, attempts.next(conversation.key));
    record.rule = match.rule;
    options.onRequest?.(record);
    if (match.rule === undefined) throw new RequestError(400, match.problem, "scenario_unmatched");

    const head = { id: `chatcmpl-${randomUUID()}`, created: Math.floor(record.receivedAt / 1000), model: chat.model };
    const writer = chat.stream
      ? streamWriter(response, head, chat.stream_options?.include_usage === true)
      : jsonWriter(response, head);
    for (const frame of framesOf(match.reply, newCallId)) {
      await play(frame, writer, response, record, disconnected);
      if (disconnected.aborted) return;
    }
  }

  async function play(
    frame: Frame,
    writer: CompletionWriter,
    response: ServerResponse,
    record: RecordedRequest,
    disconnected: AbortSignal,
  ): Promise<void> {
    switch (frame.type) {
      case "wait":
        await sleep(frame.ms, undefined, { signal: disconnected });
        return;
      case "hold":
        await holds.wait(frame.name, disconnected);
        return;
      case "hang":
        if (!disconnected.aborted) await once(disconnected, "abort");
        return;
      case "cut":
        record.outcome = "cut";
        response.destroy();
        return;
      case "error":
        sendJson(response, record, frame.status, frame.headers, frame.body);
        return;
      case "delta":
      case "comment":
      case "finish":
        if (frame.type === "delta") await writer.delta(frame.delta);
        else if (frame.type === "comment") await writer.comment();
        else await writer.finish(frame.reason, frame.usage);
        if (response.headersSent) {
          record.firstByteAt ??= Date.now();
          record.status = response.statusCode;
        }
    }
  }

  server.listen(options.port ?? 0, options.host ?? "127.0.0.1");
  await once(server, "listening");
  const { address, family, port } = server.address() as AddressInfo;
  return {
    url: `http://${family === "IPv6" ? `[${address}]` : address}:${port}/v1`,
    requests: () => [...recorded],
    setScenario: (next) => {
      scenario = next;
    },
    release: (name) => holds.release(name),
    close: async () => {
      if (!server.listening) return;
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

function newCallId(): string {
  return `call_${randomUUID().replaceAll("-", "").slice(0, 24)}`;
}

/** Sends a body; a string is sent unchanged, so that a scenario can answer with something else than JSON. */
function sendJson(
  response: ServerResponse,
  record: RecordedRequest,
  status: number,
  headers: Record<string, string>,
  body: unknown,
): void {
  record.status = status;
  record.firstByteAt = Date.now();
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(typeof body === "string" ? body : JSON.stringify(body));
}

function refuse(response: ServerResponse, record: RecordedRequest, error: unknown): void {
  record.outcome = "refused";
  const status = error instanceof RequestError ? error.status : 500;
  const code = error instanceof RequestError ? error.code : undefined;
  const message = error instanceof Error ? error.message : "unknown failure";
  if (response.headersSent) response.destroy();
  else sendJson(response, record, status, {}, errorBody(status, message, code));
}
