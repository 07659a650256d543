/** Builds the spans of a session by hand, as the session's store tells them. Times are ms since the story began. */
import type { AttributeValue, WhyInput, WhyJob, WhyLink, WhySpan } from "../src/answers/why/spans.ts";
import { KINDS, type LinkType, type Outcome } from "../src/spans.ts";

/** When a story begins, in ms since 1970. */
export const BEGAN_MS = 1_790_000_000_000;
export const SESSION = "session-1";

export interface SpanSpec {
  readonly parent?: WhySpan;
  /** ms since the story began */
  readonly at: number;
  /** ms since the story began; absent for an open span */
  readonly to?: number | undefined;
  readonly outcome?: Outcome;
  /** `error.type`, or the reason of another outcome. The outcome is `error` by default. */
  readonly error?: string;
  readonly attributes?: Readonly<Record<string, AttributeValue | undefined>>;
  readonly links?: readonly (readonly [LinkType, WhySpan])[];
  readonly session?: string;
}

export interface Usage {
  readonly input?: number;
  readonly output?: number;
  readonly cacheRead?: number;
  readonly cacheWrite?: number;
  readonly cost?: number | undefined;
}

/** Prices of the tests' model in USD per million tokens: input, cache read, cache write. */
export const PRICES = {
  "valet.llm.price.input": 3,
  "valet.llm.price.cache_read": 0.3,
  "valet.llm.price.cache_write": 3.75,
} as const;

export class Story {
  readonly spans: WhySpan[] = [];
  /** The generation of the sandbox that new spans belong to. */
  generation = 1;
  #traces = 0;

  span(name: string, spec: SpanSpec): WhySpan {
    const { parent, at, to, error, attributes = {}, links = [] } = spec;
    const session = spec.session ?? parent?.sessionId ?? SESSION;
    const outcome = to === undefined ? null : (spec.outcome ?? (error === undefined ? "ok" : "error"));
    const isFailure = outcome === "error" || outcome === "lost";
    const known = Object.entries({
      "valet.generation": this.generation,
      ...(error !== undefined && { [isFailure ? "error.type" : "valet.outcome.reason"]: error }),
      ...attributes,
    }).flatMap(([key, value]) => (value === undefined ? [] : [[key, value] as const]));
    const span: WhySpan = {
      sessionId: session,
      traceId: parent?.traceId ?? String(++this.#traces).padStart(32, "0"),
      spanId: String(this.spans.length + 1).padStart(16, "0"),
      parentId: parent?.spanId ?? null,
      name,
      kind: KINDS.INTERNAL,
      startMs: BEGAN_MS + at,
      endMs: to === undefined ? null : BEGAN_MS + to,
      outcome,
      attributes: Object.fromEntries(known),
      events: [],
      links: links.map(([type, { traceId, spanId }]): WhyLink => ({ type, traceId, spanId })),
      isSealed: outcome === "lost",
      service: name.startsWith("valet.prompt") || name.startsWith("valet.queue") ? "valet-worker" : "valet-runner",
    };
    this.spans.push(span);
    return span;
  }

  message(id: string, spec: SpanSpec): WhySpan {
    return this.span("valet.prompt", { ...spec, attributes: { "valet.message.id": id, ...spec.attributes } });
  }

  /** An attempt of a message: its dispatch, turn and run of the agent. */
  attempt(message: WhySpan, spec: SpanSpec & { readonly model?: string }): { turn: WhySpan; run: WhySpan } {
    const { "valet.message.id": id } = message.attributes;
    const attributes = { "valet.message.id": id };
    const dispatch = this.span("valet.prompt.dispatch", { at: spec.at, to: spec.at + 1, parent: message, attributes });
    const turn = this.span("valet.turn", { ...spec, parent: dispatch });
    return { turn, run: this.run(turn, spec) };
  }

  run(parent: WhySpan, spec: SpanSpec & { readonly model?: string; readonly agent?: string }): WhySpan {
    const { model = "valet/demo", agent = "build" } = spec;
    return this.span(`invoke_agent ${agent}`, {
      ...spec,
      parent,
      attributes: { "gen_ai.agent.name": agent, "valet.failover.model": model, ...spec.attributes },
    });
  }

  chat(
    parent: WhySpan,
    spec: SpanSpec &
      Usage & {
        readonly model?: string;
        readonly agent?: string;
        readonly conversation?: string;
        readonly step?: string;
      },
  ): WhySpan {
    const { model = "demo", agent = "build", conversation = "ses_1", step } = spec;
    return this.span(`chat ${model}`, {
      ...spec,
      parent,
      attributes: {
        "gen_ai.request.model": model,
        "gen_ai.provider.name": "anthropic",
        "gen_ai.agent.name": agent,
        "valet.opencode.session.id": conversation,
        "valet.opencode.message.id": step,
        "gen_ai.usage.input_tokens": spec.input,
        "gen_ai.usage.output_tokens": spec.output,
        "gen_ai.usage.cache_read.input_tokens": spec.cacheRead,
        "gen_ai.usage.cache_write.input_tokens": spec.cacheWrite,
        "valet.llm.cost_usd": spec.cost,
        ...PRICES,
        ...spec.attributes,
      },
    });
  }

  tool(
    parent: WhySpan,
    tool: string,
    spec: SpanSpec & { readonly step?: string; readonly lengths?: readonly [number, number] },
  ): WhySpan {
    return this.span(`execute_tool ${tool}`, {
      ...spec,
      parent,
      attributes: {
        "gen_ai.tool.name": tool,
        "valet.opencode.session.id": "ses_1",
        "valet.opencode.message.id": spec.step,
        "valet.tool.input_length": spec.lengths?.[0],
        "valet.tool.output_length": spec.lengths?.[1],
        ...spec.attributes,
      },
    });
  }

  /** What `why` is asked of a message. */
  about(message: WhySpan, job: Partial<WhyJob> = {}): WhyInput {
    const { endMs, outcome, traceId, sessionId, startMs } = message;
    return {
      job: {
        sessionId,
        id: String(message.attributes["valet.message.id"] ?? message.attributes["valet.workflow.execution.id"]),
        kind: message.name === "valet.workflow" ? "workflow" : "message",
        traceId,
        state: endMs === null ? "running" : "ended",
        acceptedAtMs: startMs,
        endedAtMs: endMs,
        outcome,
        failure: null,
        outcomeReason: null,
        ...job,
      },
      turns: [],
      spans: this.spans,
      nowMs: BEGAN_MS + 10 * 3_600_000,
    };
  }
}
