/** The trace of one request: it goes on from the caller's and returns to the caller in the answer. */
import { randomUUID } from "node:crypto";
import {
  DOUBLE_KEYS,
  HTTP_METHODS,
  type SpanAttributes,
  type ValetAttributes,
  type ValetSpans,
} from "@valet/shared/spans";
import {
  alwaysOn,
  encodeTraces,
  exceptionType,
  extractFromHeaders,
  parentBased,
  type ReadableSpan,
  type Resource,
  recordDropped,
  type Span,
  SpanKind,
  type SpanLimits,
  StatusCode,
  Tracer,
} from "@valet/shared/tracing";
import packageJson from "../package.json" with { type: "json" };
import { BrokerError } from "./problem.ts";

/** What a driver spends its time on. */
export type StepName =
  /** Folders are made and the sandbox is put on record. */
  | "valet.sandbox.prepare"
  /** Files are copied: within a restore out of a snapshot, within `pause` into one. */
  | "valet.sandbox.copy"
  /** The entrypoint is started. */
  | "valet.sandbox.process_start"
  /** The processes stand still. */
  | "valet.sandbox.pause"
  /** A copy is made durable and becomes a snapshot. */
  | "valet.sandbox.commit"
  /** The processes are ended. */
  | "valet.sandbox.process_stop"
  /** Files are removed. */
  | "valet.sandbox.remove";

/** Every attribute that is known of a sandbox; each span holds those that are known by its end. */
type SandboxAttributes = {
  readonly [K in
    | "valet.session.id"
    | "session.id"
    | "gen_ai.conversation.id"
    | "valet.generation"
    | "valet.sandbox.id"
    | "valet.sandbox.driver"]?: ValetAttributes[K] | undefined;
};
type StepAttributes = SandboxAttributes & {
  readonly [K in
    | "valet.snapshot.id"
    | "valet.snapshot.size_bytes"
    | "valet.snapshot.left_out_count"
    | "valet.outcome"]?: ValetAttributes[K] | undefined;
} & { readonly "error.type"?: "sandbox_gone" | "broker_error" | undefined };
type StepSpans = {
  readonly [N in StepName]: {
    readonly kind: typeof SpanKind.INTERNAL;
    readonly attributes: StepAttributes;
    readonly links: Record<string, never>;
  };
};
type BrokerSpans = ValetSpans & StepSpans;
type StepSpan = Span<StepAttributes, Record<string, never>>;

/** Runs work as spans below another. */
export interface Steps {
  /** Runs `work` in a span of its own. What it throws ends the span with an error and is thrown on. */
  run<T>(name: StepName, attributes: StepAttributes, work: (steps: Steps, span: StepSpan) => Promise<T>): Promise<T>;
  /** What has become known of the sandbox: kept by the request's span and by every step from here on. */
  describe(attributes: SandboxAttributes): void;
}

const RESOURCE: Resource = {
  "service.name": "valet-broker",
  "service.version": packageJson.version,
  "service.instance.id": randomUUID(),
};
const SCOPE = { name: packageJson.name, version: packageJson.version };

export interface RequestInfo {
  readonly method: string;
  /** The route's template. */
  readonly route: string;
  readonly url: URL;
  readonly headers: Headers;
  /** How much a span may hold. */
  readonly spanLimits?: SpanLimits | undefined;
}

/** Without a caller's trace nothing is recorded: nobody would know what to do with the spans. */
export class RequestTrace implements Steps {
  readonly #ended: ReadableSpan[] = [];
  readonly #tracer: Tracer<BrokerSpans>;
  readonly #span: Span<SpanAttributes<`GET ${string}`>>;
  #known: SandboxAttributes = {};

  constructor({ method, route, url, headers, spanLimits }: RequestInfo) {
    const caller = extractFromHeaders(headers);
    this.#tracer = new Tracer<BrokerSpans>({
      scope: SCOPE,
      sink: { onStart: () => {}, onEnd: (span) => this.#ended.push(span) },
      enabled: caller !== undefined,
      // The caller keeps what it does not sample, in the session's own store, and wants the broker's part there too.
      sampler: recordDropped(parentBased(alwaysOn)),
      limits: spanLimits,
      doubleKeys: DOUBLE_KEYS,
    });
    const known = HTTP_METHODS.find((each) => each === method);
    this.#span = this.#tracer.startSpan(`${known === undefined || known === "_OTHER" ? "HTTP" : known} ${route}`, {
      kind: SpanKind.SERVER,
      parent: caller,
      attributes: {
        "http.request.method": known ?? "_OTHER",
        "http.route": route,
        "url.path": url.pathname,
        "url.scheme": "http",
      },
    });
  }

  describe(attributes: SandboxAttributes): void {
    this.#known = { ...this.#known, ...attributes };
    this.#span.setAttributes(attributes);
  }

  run<T>(name: StepName, attributes: StepAttributes, work: (steps: Steps, span: StepSpan) => Promise<T>): Promise<T> {
    return this.#runBelow(this.#span, name, attributes, work);
  }

  /** Ends the request's span. Returns all spans as OTLP/JSON text, `undefined` when there are none. */
  end(status: number): string | undefined {
    this.#span.setAttribute("http.response.status_code", status);
    if (status >= 500) {
      this.#span.setAttribute("error.type", `${status}`);
      this.#span.setStatus(StatusCode.ERROR);
    }
    this.#span.end();
    return this.#ended.length === 0 ? undefined : encodeTraces(RESOURCE, this.#ended);
  }

  async #runBelow<T>(
    parent: Span<never, never> | Span,
    name: StepName,
    attributes: StepAttributes,
    work: (steps: Steps, span: StepSpan) => Promise<T>,
  ): Promise<T> {
    const span: StepSpan = this.#tracer.startSpan(name, { parent, attributes: { ...this.#known, ...attributes } });
    const below: Steps = {
      run: (...args) => this.#runBelow(span, ...args),
      describe: (known) => this.describe(known),
    };
    try {
      const result = await work(below, span);
      span.setAttribute("valet.outcome", "ok");
      return result;
    } catch (error) {
      const code = error instanceof BrokerError ? error.code : undefined;
      span.setAttributes({
        "valet.outcome": "error",
        "error.type": code === "sandbox_gone" ? code : "broker_error",
      });
      span.recordException(error);
      span.setStatus(StatusCode.ERROR, code ?? exceptionType(error));
      throw error;
    } finally {
      span.end();
    }
  }
}

/** The attributes by which everything of a session is found. */
export function sessionAttributes(sessionId: string): SandboxAttributes {
  return { "valet.session.id": sessionId, "session.id": sessionId, "gen_ai.conversation.id": sessionId };
}
