/** The trace of one request: continues the caller's trace, and returns its spans in the answer. */
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

/** The attributes of a sandbox. Each span gets those that are known when it ends. */
type SandboxAttributes = Pick<
  SpanAttributes<BrokerStep>,
  keyof SessionAttributes | "valet.sandbox.id" | "valet.sandbox.driver"
>;

/** The work within a step, which may have further steps. */
type StepWork<N extends BrokerStep, T> = (steps: Steps, span: SpanOf<N>) => Promise<T>;

/** Runs work as child spans of another span. */
export interface Steps {
  /** Runs `work` in a child span. An error that it throws ends the span with an error and is rethrown. */
  run<N extends BrokerStep, T>(name: N, attributes: SpanAttributes<N>, work: StepWork<N, T>): Promise<T>;
  /** Adds attributes of the sandbox to the request's span and to every step that ends after this call. */
  describe(attributes: SandboxAttributes): void;
}

const RESOURCE: Resource = {
  "service.name": "valet-broker",
  "service.version": packageJson.version,
  "service.instance.id": randomUUID(),
};
const SCOPE = { name: packageJson.name, version: packageJson.version };

/** Records nothing when the caller sends no trace context, since nobody would store the spans. */
export class RequestTrace implements Steps {
  readonly #ended: ReadableSpan[] = [];
  readonly #tracer: Tracer<ValetSpans>;
  readonly #span: RequestSpan;
  #known: SandboxAttributes = {};

  /** @param spanLimits the limits of spans */
  constructor(request: RequestInfo, spanLimits: SpanLimits | undefined) {
    this.#tracer = new Tracer<ValetSpans>({
      scope: SCOPE,
      processor: { onStart: () => {}, onEnd: (span) => this.#ended.push(span) },
      enabled: extractFromHeaders(request.headers) !== undefined,
      // The caller stores even spans that it does not sample, in the session's own store, and wants the broker's spans
      // there too.
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

  /** Ends the request's span. Returns all spans as OTLP/JSON text; `undefined` when there are none. */
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
