import { type Answer, judgeAnswer, judgeRefusal, readBody, type SendResult } from "./answer.ts";
import { exceptionType } from "./exception.ts";
import { encodeTracesAsBytes, type Resource } from "./otlp.ts";
import type { ReadableSpan } from "./readable-span.ts";
import { within } from "./timers.ts";

const USER_AGENT = "valet-otlp/0.1.0";
const DEFAULT_TIMEOUT_MS = 10_000;
/** A timer's maximum. */
const NO_TIMEOUT_MS = 2 ** 31 - 1;
/** OTLP, "OTLP/HTTP Request": the size that senders must not exceed, before compression. */
const MAX_REQUEST_BYTES = 64 * 1024 * 1024;

/** The body of one request, encoded once and sent with every retry. */
export interface EncodedBatch {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly gzip: boolean;
}

export interface ExporterOptions {
  /** The full URL of the traces endpoint. */
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** gzip by default, if the platform supports it. */
  readonly compression?: "gzip" | "none" | undefined;
  /** The timeout of one attempt, including the response; 0 means no limit; 10 s by default. */
  readonly timeoutMs?: number | undefined;
  readonly fetch?: typeof fetch | undefined;
}

/** Exports spans to one backend by OTLP/HTTP with JSON bodies. Stateless: its caller decides when to send and what to keep. */
export class OtlpExporter {
  readonly #options: ExporterOptions;

  constructor(options: ExporterOptions) {
    this.#options = options;
  }

  /** Encodes spans as one request; `undefined` if that is larger than OTLP allows. */
  async encode(resource: Resource, spans: readonly ReadableSpan[]): Promise<EncodedBatch | undefined> {
    const body = encodeTracesAsBytes(resource, spans);
    if (body.length > MAX_REQUEST_BYTES) return undefined;
    const gzip = this.#options.compression !== "none" && "CompressionStream" in globalThis;
    if (!gzip) return { body, gzip };
    const stream = new Response(body).body!.pipeThrough(new CompressionStream("gzip"));
    return { body: new Uint8Array(await new Response(stream).arrayBuffer()), gzip };
  }

  /** Sends a batch once. Never rejects, and never exceeds the timeout. @param stop aborts it early */
  send({ body, gzip }: EncodedBatch, stop = new AbortController().signal): Promise<SendResult> {
    const { url, headers, timeoutMs = DEFAULT_TIMEOUT_MS, fetch: send = fetch } = this.#options;
    const abort = new AbortController();
    let answer: Answer | undefined;
    // After a 2xx status the backend has the spans: a retry because the body was lost would store them twice.
    const broken = (reason: string): SendResult =>
      answer ? judgeAnswer(answer, reason) : { outcome: "retry", reason };
    const post = async (): Promise<SendResult> => {
      const response = await send(url, {
        method: "POST",
        // Following a redirect would send our headers, which contain keys, to another server.
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
      const { status, headers: said } = response;
      answer = { status, contentType: said.get("content-type") ?? "", text: "", protobuf: [] };
      await readBody(response, answer);
      return judgeAnswer(answer);
    };
    return within(timeoutMs || NO_TIMEOUT_MS, post(), () => broken("timeout"))
      .catch((error) => broken(failureOf(error)))
      .finally(() => abort.abort());
  }
}

/**
 * Returns why `fetch` failed, as a code, since the message may contain the URL. In workerd a failed connection is an error without
 * code or class.
 */
function failureOf(error: unknown): string {
  const { code, message } = Object((error as Error | undefined)?.cause ?? error) as {
    code?: unknown;
    message?: unknown;
  };
  // The WHATWG's blocked ports, of other protocols: Node gives no code.
  if (message === "bad port") return message;
  const reason = typeof code === "string" ? code : exceptionType(error);
  return reason === "Error" ? "connection failed" : reason;
}
