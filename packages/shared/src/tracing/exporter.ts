import { type Answer, judgeAnswer, judgeRefusal, readBody, type SendResult } from "./answer.ts";
import { exceptionType } from "./exception.ts";
import { encodeTracesAsBytes, type Resource } from "./otlp.ts";
import type { ReadableSpan } from "./readable-span.ts";
import { within } from "./timers.ts";

const USER_AGENT = "valet-otlp/0.1.0";
const DEFAULT_TIMEOUT_MS = 10_000;
/** The longest that a timer takes. */
const NO_TIMEOUT_MS = 2 ** 31 - 1;
/** OTLP, "OTLP/HTTP Request": senders stay under this, counted before compression. */
const MAX_REQUEST_BYTES = 64 * 1024 * 1024;

/** One request's body, encoded once and sent as often as it takes. */
export interface EncodedBatch {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly gzip: boolean;
}

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
    let answer: Answer | undefined;
    // Once a backend has said 2xx it has the spans: sending them again because the rest was lost would double them.
    const broken = (reason: string): SendResult =>
      answer ? judgeAnswer(answer, reason) : { outcome: "retry", reason };
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
      if (!response.ok) return judgeRefusal(response);
      answer = { status: response.status, contentType: response.headers.get("content-type") ?? "", text: "" };
      await readBody(response, answer);
      return judgeAnswer(answer);
    };
    return within(timeoutMs || NO_TIMEOUT_MS, post(), () => broken("timeout"))
      .catch((error) => broken(failureOf(error)))
      .finally(() => abort.abort());
  }
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
