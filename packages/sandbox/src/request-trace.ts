/** The trace of one request: it goes on from the caller's and returns to the caller in the answer. */
import { randomUUID } from "node:crypto";
import { endRequestSpan, type RequestInfo, type RequestSpan, startRequestSpan } from "@valet/shared/http/request-span";
import type { SpanOf } from "@valet/shared/outcome";
import {
  type BrokerStep,
  DOUBLE_KEYS,
  type SessionAttributes,
  type SpanAttributes,
  type ValetSpans,
} from "@valet/shared/spans";
import {
  alwaysOn,
  encodeTraces,
  exceptionType,
  extractFromHeaders,
  type Parent,
  parentBased,
  type ReadableSpan,
  type Resource,
  recordDropped,
  type SpanLimits,
  StatusCode,
  Tracer,
} from "@valet/shared/tracing";
import packageJson from "../package.json" with { type: "json" };
import { BrokerError } from "./problem.ts";

/** Every attribute that is known of a sandbox; each span holds those that are known by its end. */
type SandboxAttributes = Pick<
  SpanAttributes<BrokerStep>,
  keyof SessionAttributes | "valet.sandbox.id" | "valet.sandbox.driver"
>;

/** Work within a step. It may have steps of its own. */
type StepWork<N extends BrokerStep, T> = (steps: Steps, span: SpanOf<N>) => Promise<T>;

/** Runs work as spans below another. */
export interface Steps {
  /** Runs `work` in a span of its own. What it throws ends the span with an error and is thrown on. */
  run<N extends BrokerStep, T>(name: N, attributes: SpanAttributes<N>, work: StepWork<N, T>): Promise<T>;
  /** What has become known of the sandbox: kept by the request's span and by every step from here on. */
  describe(attributes: SandboxAttributes): void;
}

const RESOURCE: Resource = {
  "service.name": "valet-broker",
  "service.version": packageJson.version,
  "service.instance.id": randomUUID(),
};
const SCOPE = { name: packageJson.name, version: packageJson.version };

/** Without a caller's trace nothing is recorded: nobody would know what to do with the spans. */
export class RequestTrace implements Steps {
  readonly #ended: ReadableSpan[] = [];
  readonly #tracer: Tracer<ValetSpans>;
  readonly #span: RequestSpan;
  #known: SandboxAttributes = {};

  /** @param spanLimits how much a span may hold */
  constructor(request: RequestInfo, spanLimits: SpanLimits | undefined) {
    this.#tracer = new Tracer<ValetSpans>({
      scope: SCOPE,
      sink: { onStart: () => {}, onEnd: (span) => this.#ended.push(span) },
      enabled: extractFromHeaders(request.headers) !== undefined,
      // The caller keeps what it does not sample, in the session's own store, and wants the broker's part there too.
      sampler: recordDropped(parentBased(alwaysOn)),
      limits: spanLimits,
      doubleKeys: DOUBLE_KEYS,
    });
    this.#span = startRequestSpan(this.#tracer, request);
  }

  describe(attributes: SandboxAttributes): void {
    this.#known = { ...this.#known, ...attributes };
    this.#span.setAttributes(attributes);
  }

  run<N extends BrokerStep, T>(name: N, attributes: SpanAttributes<N>, work: StepWork<N, T>): Promise<T> {
    return this.#runBelow(this.#span, name, attributes, work);
  }

  /** Ends the request's span. Returns all spans as OTLP/JSON text, `undefined` when there are none. */
  end(status: number): string | undefined {
    endRequestSpan(this.#span, status);
    return this.#ended.length === 0 ? undefined : encodeTraces(RESOURCE, this.#ended);
  }

  async #runBelow<N extends BrokerStep, T>(
    parent: Parent,
    name: N,
    attributes: SpanAttributes<N>,
    work: StepWork<N, T>,
  ): Promise<T> {
    const span = this.#tracer.startSpan<BrokerStep>(name, { parent, attributes: { ...this.#known, ...attributes } });
    const below: Steps = {
      run: (...args) => this.#runBelow(span, ...args),
      describe: (known) => this.describe(known),
    };
    try {
      const result = await work(below, span as SpanOf<N>);
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
