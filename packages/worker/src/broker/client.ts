/** The client of the sandbox broker's HTTP API. Calls have a timeout and never throw; answers are validated. */

import { innerLimit } from "@valet/shared/limits";
import {
  BrokerProblem,
  type BrokerProblemCode,
  type CheckRepository,
  type CreateSandbox,
  DeleteAnswer,
  LIMIT_HEADER,
  RepositoryAnswer,
  SandboxAnswer,
  SandboxList,
  SESSION_HEADER,
  SnapshotAnswer,
} from "@valet/shared/protocol/sandbox-broker";
import { cutEnd } from "@valet/shared/text";
import { contextHeaders, type SpanContext } from "@valet/shared/tracing";
import type { z } from "zod";

export interface BrokerOptions {
  readonly url: string;
  readonly secret: string;
  /** The timeouts of a call, and of a snapshot call. */
  readonly timeoutMs: number;
  readonly snapshotMs: number;
  readonly fetch: typeof fetch;
}

/** Why a call failed, in the terms of the span catalogue where it has one. */
export type BrokerFailure = "broker_unreachable" | "broker_timeout" | "broker_error" | BrokerProblemCode;

export type BrokerResult<T> = {
  /** The HTTP status, if there was an answer. */
  readonly status: number | undefined;
  /** The broker's spans of this call, as OTLP/JSON text. */
  readonly spans: string | undefined;
} & (
  | { readonly ok: true; readonly value: T }
  /** `detail`: the broker's message, bounded; it quotes no token, variable or file. */
  | { readonly ok: false; readonly failure: BrokerFailure; readonly detail?: string }
);

/** The maximum length of the broker's message, in UTF-16 code units. */
const MAX_DETAIL = 300;

/** The caller of the broker. */
export interface BrokerCaller {
  /** `undefined` before there is one. */
  readonly sessionId: string | undefined;
  /** The context of the CLIENT span; without one the broker records nothing. */
  readonly context: SpanContext | undefined;
}

/** An answer holds the broker's spans of one call; a larger body does not come from a broker. */
const MAX_ANSWER_BYTES = 2 * 1024 * 1024;

export class SandboxBroker {
  readonly #options: BrokerOptions;

  constructor(options: BrokerOptions) {
    this.#options = options;
  }

  /** Creates the sandbox of a generation, from a snapshot if the request names one. */
  create(request: CreateSandbox, caller: BrokerCaller): Promise<BrokerResult<SandboxAnswer>> {
    return this.#call("POST", "/v1/sandboxes", SandboxAnswer, caller, request);
  }

  /** Returns a sandbox's state. */
  get(sandboxId: string, caller: BrokerCaller): Promise<BrokerResult<SandboxAnswer>> {
    return this.#call("GET", `/v1/sandboxes/${encodeURIComponent(sandboxId)}`, SandboxAnswer, caller);
  }

  snapshot(sandboxId: string, caller: BrokerCaller): Promise<BrokerResult<SnapshotAnswer>> {
    const path = `/v1/sandboxes/${encodeURIComponent(sandboxId)}/snapshot`;
    return this.#call("POST", path, SnapshotAnswer, caller, undefined, this.#options.snapshotMs);
  }

  /** Returns a session's sandboxes. */
  list(sessionId: string, caller: BrokerCaller): Promise<BrokerResult<SandboxList>> {
    return this.#call("GET", `/v1/sandboxes?sessionId=${encodeURIComponent(sessionId)}`, SandboxList, caller);
  }

  /**
   * Ends a sandbox, and deletes its snapshots except one. Idempotent.
   * @param keeps the snapshot to keep; empty to delete them all; `undefined` to delete none
   */
  terminate(sandboxId: string, keeps: string | undefined, caller: BrokerCaller): Promise<BrokerResult<DeleteAnswer>> {
    const query = keeps === undefined ? "" : `?keeps=${encodeURIComponent(keeps)}`;
    return this.#call("DELETE", `/v1/sandboxes/${encodeURIComponent(sandboxId)}${query}`, DeleteAnswer, caller);
  }

  /** Asks whether a repository of the broker's machine could be cloned there. */
  checkRepository(request: CheckRepository, caller: BrokerCaller): Promise<BrokerResult<RepositoryAnswer>> {
    return this.#call("POST", "/v1/repositories/check", RepositoryAnswer, caller, request);
  }

  deleteSnapshot(snapshotId: string, caller: BrokerCaller): Promise<BrokerResult<DeleteAnswer>> {
    return this.#call("DELETE", `/v1/snapshots/${encodeURIComponent(snapshotId)}`, DeleteAnswer, caller);
  }

  async #call<T extends { readonly spans?: string | undefined }>(
    method: string,
    path: string,
    schema: z.ZodType<T>,
    { sessionId, context }: BrokerCaller,
    body?: CreateSandbox | CheckRepository,
    timeoutMs = this.#options.timeoutMs,
  ): Promise<BrokerResult<T>> {
    const { url, secret, fetch } = this.#options;
    // Not `AbortSignal.timeout`, whose timer outlives the call and would keep the object from hibernating.
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(), timeoutMs);
    try {
      const response = await fetch(url + path, {
        method,
        headers: {
          authorization: `Bearer ${secret}`,
          ...(sessionId !== undefined && { [SESSION_HEADER]: sessionId }),
          [LIMIT_HEADER]: String(innerLimit(timeoutMs)),
          ...(context !== undefined && contextHeaders(context)),
          ...(body !== undefined && { "content-type": "application/json" }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        // A redirect is not followed, since the secret is for the broker alone.
        redirect: "manual",
        signal: controller.signal,
      });
      return await readAnswer(response, schema);
    } catch {
      const failure = controller.signal.aborted ? "broker_timeout" : "broker_unreachable";
      return { ok: false, status: undefined, spans: undefined, failure };
    } finally {
      clearTimeout(timer);
    }
  }
}

async function readAnswer<T extends { readonly spans?: string | undefined }>(
  response: Response,
  schema: z.ZodType<T>,
): Promise<BrokerResult<T>> {
  const { status } = response;
  const json = parseJson(await readText(response));
  if (response.ok) {
    const answer = schema.safeParse(json);
    if (answer.success) return { ok: true, status, spans: answer.data.spans, value: answer.data };
    return { ok: false, status, spans: undefined, failure: "broker_error" };
  }
  const problem = BrokerProblem.safeParse(json);
  if (!problem.success) return { ok: false, status, spans: undefined, failure: failureOf(status) };
  const { spans, code, detail } = problem.data;
  return {
    ok: false,
    status,
    spans,
    failure: code,
    ...(detail !== undefined && { detail: cutEnd(detail, MAX_DETAIL) }),
  };
}

/** Returns what a status means that does not come from the broker: a proxy or tunnel before it reports that it is away. */
function failureOf(status: number): BrokerFailure {
  if (status === 504 || status === 522 || status === 524) return "broker_timeout";
  return status === 502 || status === 503 || (status >= 520 && status <= 530) ? "broker_unreachable" : "broker_error";
}

/** Returns the body; an empty text when it is larger than an answer may be. */
async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > MAX_ANSWER_BYTES) return "";
    chunks.push(chunk);
  }
  return new TextDecoder().decode(await new Blob(chunks as Uint8Array<ArrayBuffer>[]).arrayBuffer());
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
