import { exceptionType } from "./exception.ts";
import { encodeTracesAsBytes, type Resource } from "./otlp.ts";
import { isRetryableStatus, parseRetryAfter } from "./retry.ts";
import type { ReadableSpan } from "./span.ts";

/** One request's body, encoded once and sent as often as it takes. */
export interface EncodedBatch {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly gzip: boolean;
}

/** What came of one attempt. */
export type SendResult =
  /** The backend has the batch. `message` is its warning, or what was wrong with its answer; empty if nothing. */
  | { readonly outcome: "delivered"; readonly rejectedSpans: number; readonly message: string }
  /** Try again, after `retryAfterMs` if the backend named a time. */
  | { readonly outcome: "retry"; readonly reason: string; readonly status?: number; readonly retryAfterMs?: number }
  /** The backend will never take this batch. */
  | { readonly outcome: "refused"; readonly reason: string; readonly status?: number };

export interface ExporterOptions {
  /** The full URL of the traces endpoint. */
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** gzip, where the platform can, unless given. */
  readonly compression?: "gzip" | "none" | undefined;
  /** For one attempt, answer included; 0 is without limit; 10 s unless given. */
  readonly timeoutMs?: number | undefined;
  readonly fetch?: typeof fetch | undefined;
}

const USER_AGENT = "valet-otlp/0.1.0";
const DEFAULT_TIMEOUT_MS = 10_000;
/** OTLP, "OTLP/HTTP Request": senders stay under this, counted before compression. */
const MAX_REQUEST_BYTES = 64 * 1024 * 1024;
/** OTLP, "OTLP/HTTP Response": clients need not read more. */
const MAX_RESPONSE_BYTES = 4 * 1024 * 1024;

/** Speaks OTLP/HTTP with JSON bodies to one backend. Stateless: when to send and what to keep is its caller's business. */
export class OtlpExporter {
  readonly #options: ExporterOptions;

  constructor(options: ExporterOptions) {
    this.#options = options;
  }

  /** Encodes spans as one request; `undefined` when that would be larger than OTLP allows. */
  async encode(resource: Resource, spans: readonly ReadableSpan[]): Promise<EncodedBatch | undefined> {
    const body = encodeTracesAsBytes(resource, spans);
    if (body.length > MAX_REQUEST_BYTES) return undefined;
    if (this.#options.compression === "none" || typeof CompressionStream === "undefined") return { body, gzip: false };
    const stream = new Blob([body]).stream().pipeThrough(new CompressionStream("gzip"));
    return { body: new Uint8Array(await new Response(stream).arrayBuffer()), gzip: true };
  }

  /** Sends a batch once. Never rejects, and takes no longer than the timeout whatever the backend or `fetch` does; `stop` ends it early. */
  async send({ body, gzip }: EncodedBatch, stop?: AbortSignal): Promise<SendResult> {
    const { url, headers, timeoutMs = DEFAULT_TIMEOUT_MS, fetch: send = fetch } = this.#options;
    const abort = new AbortController();
    const signal = stop === undefined ? abort.signal : AbortSignal.any([abort.signal, stop]);
    let accepted = false;
    // Once the backend has said 2xx it has the spans: sending them again because the rest was lost would double them.
    const broken = (reason: string): SendResult =>
      accepted ? { outcome: "delivered", rejectedSpans: 0, message: reason } : { outcome: "retry", reason };
    const post = async (): Promise<SendResult> => {
      const response = await send(url, {
        method: "POST",
        // A redirect would hand our headers, keys among them, to whoever it names.
        redirect: "manual",
        signal,
        headers: {
          "user-agent": USER_AGENT,
          ...headers,
          "content-type": "application/json",
          ...(gzip ? { "content-encoding": "gzip" } : {}),
        },
        body,
      });
      accepted = response.ok;
      if (accepted) return readAnswer(response);
      // An unread body would hold the connection.
      response.body?.cancel().catch(() => {});
      return refusal(response);
    };
    let timer: ReturnType<typeof setTimeout> | undefined;
    const timeout = new Promise<SendResult>((resolve) => {
      if (timeoutMs > 0) timer = setTimeout(() => resolve(broken("timeout")), timeoutMs);
    });
    try {
      return await Promise.race([post(), timeout]);
    } catch (error) {
      return broken(failureOf(error));
    } finally {
      clearTimeout(timer);
      abort.abort();
    }
  }
}

function refusal({ status, headers }: Response): SendResult {
  const reason = `HTTP ${status}`;
  if (!isRetryableStatus(status)) return { outcome: "refused", reason, status };
  const retryAfterMs = parseRetryAfter(headers.get("retry-after"), Date.now());
  return { outcome: "retry", reason, status, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
}

/** Reads an `ExportTraceServiceResponse`. What cannot be read is a warning: the spans are delivered all the same. */
async function readAnswer(response: Response): Promise<SendResult> {
  const text = await readText(response);
  if (text === undefined) return { outcome: "delivered", rejectedSpans: 0, message: "answer over 4 MiB" };
  let partial: { rejectedSpans?: unknown; errorMessage?: unknown } | undefined;
  try {
    partial = text.trim() === "" ? {} : JSON.parse(text)?.partialSuccess;
  } catch {
    return { outcome: "delivered", rejectedSpans: 0, message: "answer is not JSON" };
  }
  const rejected = Number(partial?.rejectedSpans ?? 0);
  return {
    outcome: "delivered",
    rejectedSpans: Number.isSafeInteger(rejected) && rejected > 0 ? rejected : 0,
    message: typeof partial?.errorMessage === "string" ? partial.errorMessage : "",
  };
}

/** The body as text, `undefined` past {@link MAX_RESPONSE_BYTES}. */
async function readText(response: Response): Promise<string | undefined> {
  const reader = response.body?.getReader();
  if (reader === undefined) return "";
  const decoder = new TextDecoder();
  let text = "";
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    length += value.length;
    if (length > MAX_RESPONSE_BYTES) {
      reader.cancel().catch(() => {});
      return undefined;
    }
    text += decoder.decode(value, { stream: true });
  }
}

/**
 * Why `fetch` failed, as a code: its text may hold the URL. In workerd a connection that fails is an error without code or
 * class.
 */
function failureOf(error: unknown): string {
  const { code } = ((error as Error | undefined)?.cause ?? error ?? {}) as { code?: unknown };
  if (typeof code === "string") return code;
  const type = exceptionType(error);
  return type === "Error" ? "connection failed" : type;
}
