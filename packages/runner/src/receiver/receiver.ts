/**
 * The OTLP/HTTP receiver, on loopback, for the traces of what an agent's commands run. Each call has a path and a secret of its own;
 * answers are those of an OpenTelemetry Collector.
 */

import type { RefusedKind } from "@valet/shared/spans";
import { readBody } from "./body.ts";
import type { Call, Calls } from "./calls.ts";
import {
  decodeRequest,
  ENCODINGS,
  type Encoding,
  encodeFailure,
  encodeSuccess,
  encodingOf,
  MAX_MESSAGES,
} from "./decode.ts";
import type { Intake, Rejected } from "./intake.ts";

export interface ReceiverOptions {
  readonly calls: Pick<Calls, "authorise">;
  readonly intake: Pick<Intake, "take">;
  /** Whether spans would displace the runner's own, which wait for the session. */
  readonly isFull: () => boolean;
  /** Called with what was not taken: spans of a request of which others were, or whole requests. */
  readonly onRefused: (what: RefusedKind, count: number) => void;
  readonly maxBodyBytes?: number;
  readonly maxOpen?: number;
  readonly bodyTimeoutMs?: number;
}

export interface Receiver {
  /** Without a slash at its end. */
  readonly url: string;
  stop(): Promise<void>;
}

/** The header with the secret of the call. */
export const SECRET_HEADER = "x-valet-call-secret";

const MAX_BODY_BYTES = 4 * 1024 * 1024;
const MAX_OPEN = 16;
const BODY_TIMEOUT_MS = 10_000;
const RETRY_AFTER_S = 1;
const PATH = /^\/([0-9a-f]{16})\/v1\/(traces|logs|metrics)$/;

type Signal = "traces" | "logs" | "metrics";
const REQUESTS = { traces: "trace_requests", logs: "log_requests", metrics: "metric_requests" } as const;

/** `google.rpc.Code`, by the HTTP status. */
const CODES: Readonly<Record<number, number>> = {
  400: 3,
  401: 16,
  403: 7,
  404: 5,
  405: 12,
  408: 4,
  413: 8,
  415: 3,
  429: 8,
  500: 13,
};

export function startReceiver({
  calls,
  intake,
  isFull,
  onRefused,
  maxBodyBytes = MAX_BODY_BYTES,
  maxOpen = MAX_OPEN,
  bodyTimeoutMs = BODY_TIMEOUT_MS,
}: ReceiverOptions): Receiver {
  let open = 0;

  async function serve(request: Request): Promise<Response> {
    const encoding = encodingOf(request.headers.get("content-type"));
    const answer = encoding ?? "json";
    const [, id = "", signal = ""] = PATH.exec(new URL(request.url).pathname) ?? [];
    if (signal === "")
      return failure(answer, 404, "Unknown path. Send traces to the endpoint that the environment names.");
    const secret = request.headers.get(SECRET_HEADER);
    if (secret === null) return failure(answer, 401, `The header ${SECRET_HEADER} is missing.`);
    const call = calls.authorise(id, secret);
    if (call === "wrong_secret") return failure(answer, 403, "The secret is wrong.");
    if (call === undefined) return failure(answer, 404, "Unknown call.");
    if (request.method !== "POST") return failure(answer, 405, "Only POST is allowed.", { allow: "POST" });
    const response = await take(request, call, signal as Signal, encoding);
    if (!response.ok) onRefused(REQUESTS[signal as Signal], 1);
    return response;
  }

  async function take(request: Request, call: Call, signal: Signal, encoding: Encoding | undefined): Promise<Response> {
    // As a Collector without a pipeline for them answers. No exporter retries it, as some do with 501.
    if (signal !== "traces") return failure(encoding ?? "json", 404, `Valet takes traces only, no ${signal}.`);
    if (encoding === undefined) {
      return failure("json", 415, `The content type must be ${Object.values(ENCODINGS).join(" or ")}.`);
    }
    const packing = request.headers.get("content-encoding")?.trim().toLowerCase() || "identity";
    if (packing !== "gzip" && packing !== "identity")
      return failure(encoding, 415, "The content encoding must be gzip.");
    if (Number(request.headers.get("content-length") ?? 0) > maxBodyBytes) return failure(encoding, 413, tooLarge());
    if (open >= maxOpen || isFull()) return pressure(encoding);
    open++;
    try {
      const body = await readBody(request, packing === "gzip", { maxBytes: maxBodyBytes, timeoutMs: bodyTimeoutMs });
      if (!body.ok) {
        if (body.error === "too_large") return failure(encoding, 413, tooLarge());
        if (body.error === "too_slow") return failure(encoding, 408, "The body did not arrive in time.");
        return failure(encoding, 400, "The body cannot be read.");
      }
      const decoded = decodeRequest(body.bytes, encoding);
      if (decoded === undefined) return failure(encoding, 400, "The body is no ExportTraceServiceRequest.");
      if (decoded === "too_many") return failure(encoding, 413, `The body may have ${MAX_MESSAGES} messages.`);
      if (isFull()) return pressure(encoding);
      const rejected = intake.take(decoded, call);
      if (rejected !== undefined) onRefused("spans", rejected.spans);
      return success(encoding, rejected);
    } finally {
      open--;
    }
  }

  const tooLarge = () => `The body may have ${maxBodyBytes} bytes, unpacked, too.`;
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    maxRequestBodySize: maxBodyBytes,
    idleTimeout: 30,
    fetch: serve,
    error: () => failure("json", 500, "The runner failed."),
  });
  return { url: `http://127.0.0.1:${server.port}`, stop: () => server.stop(true) };
}

function success(encoding: Encoding, rejected: Rejected | undefined): Response {
  return new Response(encodeSuccess(encoding, rejected), { headers: { "content-type": ENCODINGS[encoding] } });
}

function pressure(encoding: Encoding): Response {
  return failure(encoding, 429, "Too many spans wait for the session. Try again later.", {
    "retry-after": String(RETRY_AFTER_S),
  });
}

function failure(encoding: Encoding, status: number, message: string, headers: Record<string, string> = {}): Response {
  const body = encodeFailure(encoding, CODES[status] ?? 2, message);
  return new Response(body, { status, headers: { "content-type": ENCODINGS[encoding], ...headers } });
}
