/**
 * Takes the spans of a request: each once, within the limits of its call, under an id that is nobody else's. Returns how many were
 * rejected, and why.
 */
import type { SessionAttributes } from "@valet/shared/spans";
import type { Call, Calls } from "./calls.ts";
import type { CleanOptions } from "./clean-values.ts";
import type { ExportTraceServiceRequest } from "./decode.ts";
import { convertResource, convertScope, convertSpan, type ForeignLimits, idsOf, type Refusal } from "./foreign-span.ts";
import type { OwnSpanIds } from "./own-span-ids.ts";
import type { SpanIds, Surroundings } from "./placement.ts";
import type { Span } from "./proto/opentelemetry/proto/trace/v1/trace_pb.js";
import { Work } from "./work.ts";

/** A span of a command, as OTLP/JSON text. */
export interface AdoptedSpan {
  readonly spanId: string;
  readonly resource: string;
  readonly scope: string;
  readonly span: string;
}

export interface IntakeOptions extends CleanOptions {
  readonly calls: Pick<Calls, "find" | "ofTrace">;
  readonly ownIds: Pick<OwnSpanIds, "has">;
  readonly limits: ForeignLimits;
  readonly session: SessionAttributes;
  /** Returns the trace id of spans that outlived their call. */
  readonly lateTraceId: (name: string) => string;
  /** Called with the spans that were taken of a request, all at once. */
  readonly onSpans: (spans: readonly AdoptedSpan[]) => void;
  /** Nanoseconds since 1970. */
  readonly nowNs: () => bigint;
  /** Of one call, in spans and in characters of their text. */
  readonly maxSpans?: number;
  readonly maxLength?: number;
}

/** How many spans of a request were rejected; `message` is for the person who runs the program. */
export interface Rejected {
  readonly spans: number;
  readonly message: string;
}

type Reason = Refusal | "taken_id" | "too_many";

const SENTENCES: Record<Reason, string> = {
  invalid_id: "its trace id, span id or parent id is invalid",
  invalid_time: "its times do not lie between the start of the call and now",
  too_large: "it is too large",
  taken_id: "another span has its id",
  too_many: "its call has sent as many spans as it may",
};

/** A test suite has some thousands of spans; what a call may add to a session's store is bounded. */
const MAX_CALL_SPANS = 10_000;
const MAX_CALL_LENGTH = 16 * 1024 * 1024;
/** How many spans are remembered, so that repeats are recognised, over all calls. */
const MAX_REMEMBERED = 200_000;

interface Used {
  spans: number;
  length: number;
}

export class Intake {
  readonly #options: Required<IntakeOptions>;
  /** Of each taken span the trace that it named. */
  readonly #taken = new Map<string, string>();
  readonly #used = new WeakMap<object, Used>();
  readonly #work = new Work();

  constructor(options: IntakeOptions) {
    this.#options = { maxSpans: MAX_CALL_SPANS, maxLength: MAX_CALL_LENGTH, ...options };
  }

  /** @returns `undefined` if all spans were taken, or had been before */
  take({ resourceSpans }: ExportTraceServiceRequest, call: Call): Rejected | undefined {
    const reasons = new Map<Reason, number>();
    const taken: AdoptedSpan[] = [];
    const surroundings = this.#surroundingsOf(call);
    this.#work.note(this.#newSpans(resourceSpans), surroundings);
    for (const { resource, scopeSpans } of resourceSpans) {
      const resourceText = convertResource(resource, this.#options);
      for (const { scope, spans } of scopeSpans) {
        const scopeText = convertScope(scope, this.#options);
        for (const span of spans) {
          const read = this.#read(span, surroundings, resourceText, scopeText);
          if (typeof read === "string") reasons.set(read, (reasons.get(read) ?? 0) + 1);
          else if (read !== undefined) taken.push(read);
        }
      }
    }
    if (taken.length > 0) this.#options.onSpans(taken);
    return reasons.size === 0 ? undefined : rejected(reasons);
  }

  #surroundingsOf(call: Call): Surroundings {
    const { calls, lateTraceId } = this.#options;
    return {
      call,
      find: (trace, id) => calls.find(trace, id),
      ofTrace: (trace) => calls.ofTrace(trace),
      workFor: (id) => this.#work.callOf(id),
      lateTraceId,
    };
  }

  /** Returns those of a request's spans that were not taken before. */
  #newSpans(resourceSpans: ExportTraceServiceRequest["resourceSpans"]): SpanIds[] {
    const spans = resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((each) => each.spans));
    return spans.flatMap((span) => idsOf(span) ?? []).filter(({ spanId }) => !this.#taken.has(spanId));
  }

  /** @returns the span; why it is rejected; or `undefined` for a repeat */
  #read(span: Span, surroundings: Surroundings, resource: string, scope: string): AdoptedSpan | Reason | undefined {
    const { call } = surroundings;
    const { calls, ownIds, nowNs, maxSpans, maxLength } = this.#options;
    const ids = idsOf(span);
    if (ids === undefined) return "invalid_id";
    const { spanId, traceId } = ids;
    const known = this.#taken.get(spanId);
    // A repeat: an exporter that did not receive the answer sends its batch again.
    if (known !== undefined) return known === traceId ? undefined : "taken_id";
    if (ownIds.has(spanId) || calls.find(call.context.traceId, spanId) !== undefined) return "taken_id";
    const used = this.#usedBy(call);
    if (used.spans >= maxSpans) return "too_many";
    const converted = convertSpan(span, ids, {
      ...this.#options,
      ...surroundings,
      nowNs: nowNs(),
    });
    if ("refused" in converted) return converted.refused;
    const length = converted.text.length + scope.length;
    if (used.length + length > maxLength) return "too_many";
    used.spans++;
    used.length += length;
    this.#remember(spanId, traceId);
    return { spanId, resource, scope, span: converted.text };
  }

  #usedBy({ context }: Call): Used {
    const used = this.#used.get(context) ?? { spans: 0, length: 0 };
    this.#used.set(context, used);
    return used;
  }

  #remember(spanId: string, traceId: string): void {
    this.#taken.set(spanId, traceId);
    if (this.#taken.size <= MAX_REMEMBERED) return;
    for (const oldest of this.#taken.keys()) {
      this.#taken.delete(oldest);
      return;
    }
  }
}

function rejected(reasons: ReadonlyMap<Reason, number>): Rejected {
  const spans = [...reasons.values()].reduce((sum, each) => sum + each, 0);
  const texts = Array.from(reasons, ([reason, each]) => `${each}: ${SENTENCES[reason]}`);
  return { spans, message: `Valet rejected ${spans === 1 ? "1 span" : `${spans} spans`}. ${texts.join("; ")}.` };
}
