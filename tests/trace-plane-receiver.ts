/** An OTLP/HTTP receiver that keeps every request's bytes, and can hold its answers back. */
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { gunzipSync } from "node:zlib";

export interface ReceivedSpan {
  readonly spanId: string;
  readonly name: string;
}

export class TracePlaneReceiver {
  /** Every POST, gzip'd as it came. */
  readonly posts: Buffer[] = [];
  readonly #server = createServer((request, response) => void this.#serve(request.url ?? "", request, response));
  readonly #held: ServerResponse[] = [];
  readonly #waiting: (() => void)[] = [];
  #holding: string | undefined;

  static async start(): Promise<TracePlaneReceiver> {
    const receiver = new TracePlaneReceiver();
    receiver.#server.listen(0, "127.0.0.1");
    await once(receiver.#server, "listening");
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Does not answer at this point until {@link release}: a breakpoint's name, or `POST`. */
  hold(point: string): void {
    this.#holding = point;
  }

  release(): void {
    this.#holding = undefined;
    for (const response of this.#held.splice(0)) response.end();
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

  /** The spans of all that came, a batch that came again counted once. */
  spans(): ReceivedSpan[] {
    return [...new Set(this.posts.map((body) => body.toString("base64")))].flatMap((text) =>
      spansOf(gunzipSync(Buffer.from(text, "base64")).toString()),
    );
  }

  /** How many batches came more than once, byte for byte. */
  repeats(): number {
    return this.posts.length - new Set(this.posts.map((body) => body.toString("base64"))).size;
  }

  async #serve(path: string, request: NodeJS.ReadableStream, response: ServerResponse): Promise<void> {
    const body = await buffer(request);
    const point = path === "/v1/traces" ? "POST" : decodeURIComponent(path.slice(1));
    if (point === "POST") this.posts.push(body);
    if (this.#holding === point) this.#held.push(response);
    else response.end();
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** The spans of an `ExportTraceServiceRequest`. */
export function spansOf(text: string): ReceivedSpan[] {
  const { resourceSpans } = JSON.parse(text) as { resourceSpans: { scopeSpans: { spans: ReceivedSpan[] }[] }[] };
  return resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans));
}
