import { exceptionType } from "./exception.ts";
import { encodeTracesAsBytes, type Resource } from "./otlp.ts";
import { isRetryableStatus, parseRetryAfter } from "./retry.ts";
import type { ReadableSpan } from "./span.ts";
import { within } from "./timers.ts";

const USER_AGENT = "valet-otlp/0.1.0";
const DEFAULT_TIMEOUT_MS = 10_000;
/** The longest that a timer takes. */
const NO_TIMEOUT_MS = 2 ** 31 - 1;
/** OTLP, "OTLP/HTTP Request": senders stay under this, counted before compression. */
const MAX_REQUEST_BYTES = 64 * 1024 * 1024;
/** OTLP, "OTLP/HTTP Response": clients need not read more. */
const MAX_RESPONSE_BYTES = 4 * 1024 * 1024;

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
  | {
      readonly outcome: "retry";
      readonly reason: string;
      readonly status?: number;
      readonly retryAfterMs?: number | undefined;
    }
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
    const gzip = this.#options.compression !== "none" && "CompressionStream" in globalThis;
    if (!gzip) return { body, gzip };
    const stream = new Response(body).body!.pipeThrough(new CompressionStream("gzip"));
    return { body: new Uint8Array(await new Response(stream).arrayBuffer()), gzip };
  }

  /** Sends a batch once. Never rejects, and takes no longer than the timeout whatever the backend or `fetch` does; `stop` ends it early. */
  send({ body, gzip }: EncodedBatch, stop = new AbortController().signal): Promise<SendResult> {
    const { url, headers, timeoutMs = DEFAULT_TIMEOUT_MS, fetch: send = fetch } = this.#options;
    const abort = new AbortController();
    let accepted = false;
    // Once the backend has said 2xx it has the spans: sending them again because the rest was lost would double them.
    const broken = (reason: string): SendResult =>
      accepted
        ? { outcome: "delivered", rejectedSpans: 0, message: `unreadable answer: ${reason}` }
        : { outcome: "retry", reason };
    const post = async (): Promise<SendResult> => {
      const response = await send(url, {
        method: "POST",
        // A redirect would hand our headers, keys among them, to whoever it names.
        redirect: "manual",
        signal: AbortSignal.any([abort.signal, stop]),
        headers: {
          "user-agent": USER_AGENT,
          ...headers,
          "content-type": "application/json",
          ...(gzip && { "content-encoding": "gzip" }),
        },
        body,
      });
      accepted = response.ok;
      return accepted ? readAnswer(response) : refusal(response);
    };
    return within(timeoutMs || NO_TIMEOUT_MS, post(), () => broken("timeout"))
      .catch((error) => broken(failureOf(error)))
      .finally(() => abort.abort());
  }
}

function refusal({ status, headers, body }: Response): SendResult {
  // An unread body would hold the connection.
  body?.cancel().catch(() => {});
  return {
    outcome: isRetryableStatus(status) ? "retry" : "refused",
    reason: `HTTP ${status}`,
    status,
    retryAfterMs: parseRetryAfter(headers.get("retry-after"), Date.now()),
  };
}

/** Reads an `ExportTraceServiceResponse`. @throws what is wrong with it: the spans are delivered all the same */
async function readAnswer({ body }: Response): Promise<SendResult> {
  let left = MAX_RESPONSE_BYTES;
  const bound = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      left -= chunk.length;
      if (left < 0) throw new RangeError();
      controller.enqueue(chunk);
    },
  });
  const text = await new Response(body?.pipeThrough(bound)).text();
  const { rejectedSpans, errorMessage } = JSON.parse(text || "{}")?.partialSuccess ?? {};
  // A 64-bit number is a string in JSON.
  const rejected = Number(rejectedSpans);
  return {
    outcome: "delivered",
    rejectedSpans: rejected > 0 && Number.isSafeInteger(rejected) ? rejected : 0,
    message: String(errorMessage ?? ""),
  };
}

/**
 * Why `fetch` failed, as a code: its text may hold the URL. In workerd a connection that fails is an error without code or
 * class.
 */
function failureOf(error: unknown): string {
  const { code } = Object((error as Error | undefined)?.cause ?? error) as { code?: unknown };
  const reason = typeof code === "string" ? code : exceptionType(error);
  return reason === "Error" ? "connection failed" : reason;
}
