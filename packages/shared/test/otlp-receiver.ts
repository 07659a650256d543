/** An OTLP/HTTP backend in the process of a test or a benchmark: keeps what is POSTed, and answers as it is told. */
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { gunzipSync } from "node:zlib";

const TRACES = "/v1/traces";

/** A request with spans, as it came. */
export class Delivery {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;

  constructor({ method = "", url = "", headers }: IncomingMessage, body: Buffer) {
    this.method = method;
    this.path = url;
    this.headers = headers;
    this.body = body;
  }

  /** Unpacked. */
  get text(): string {
    return (this.headers["content-encoding"] === "gzip" ? gunzipSync(this.body) : this.body).toString();
  }
}

export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Whether it keeps the spans; if omitted, whether the status is 200. */
  readonly isTaken?: boolean;
}

/** Returns what a request with spans is answered; `"hang"` for nothing at all, until the sender goes away. */
export type Answering = (delivery: Delivery) => Answer | "hang";

const TAKEN: Answer = { status: 200, headers: { "content-type": "application/json" }, body: "{}" };

/** A span as OTLP/JSON has it, as far as tests read it. */
export interface OtlpSpan {
  readonly spanId: string;
  readonly name: string;
}

export class OtlpReceiver {
  /** Every request with spans, whatever it was answered. */
  readonly deliveries: Delivery[] = [];
  /** Those whose spans were kept. */
  readonly taken: Delivery[] = [];
  readonly #server = createServer((request, response) => void this.#serve(request, response));
  readonly #answer: Answering;
  readonly #held: (() => void)[] = [];
  readonly #waiting: (() => void)[] = [];
  #holding: string | undefined;

  /** @param answer to requests with spans; takes them all unless given */
  constructor(answer: Answering = () => TAKEN) {
    this.#answer = answer;
  }

  /** Begins to listen, on a port of its own. */
  async listen(): Promise<this> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return this;
  }

  /** For `OTEL_EXPORTER_OTLP_ENDPOINT`. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Does not answer requests to a path until {@link release}: spans', or that of a point in a program that asks whether to go on. */
  hold(path: string = TRACES): void {
    this.#holding = path;
  }

  release(): void {
    this.#holding = undefined;
    for (const answer of this.#held.splice(0)) answer();
  }

  /** Resolves when somebody waits for an answer that is held back. */
  held(): Promise<void> {
    return this.until(() => this.#held.length > 0);
  }

  /** Resolves when a request has made the condition true. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, "close");
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await buffer(request).catch(() => undefined);
    // The sender has gone away.
    if (body === undefined) return;
    const path = decodeURIComponent(request.url ?? "");
    const delivery = new Delivery(request, body);
    if (path === TRACES) this.deliveries.push(delivery);
    const answer = () => {
      const given = path === TRACES ? this.#answer(delivery) : { status: 404 };
      if (given === "hang") return;
      const { status, headers, body, isTaken = status === 200 } = given;
      if (path === TRACES && isTaken) this.taken.push(delivery);
      response.writeHead(status, headers).end(body);
    };
    if (this.#holding === path) this.#held.push(answer);
    else answer();
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** The spans of an `ExportTraceServiceRequest`. */
export function spansOf(text: string): OtlpSpan[] {
  const { resourceSpans } = JSON.parse(text) as { resourceSpans: { scopeSpans: { spans: OtlpSpan[] }[] }[] };
  return resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans));
}
