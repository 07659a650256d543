/**
 * The calls of tools and commands of which the receiver takes spans: their contexts, their secrets and when they ended. An ended call
 * is kept, since its background processes and late exporters still send.
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import type { SpanContext } from "@valet/shared/tracing";

/** A tool call, or a command of a workflow. Times are nanoseconds since 1970. */
export interface Call {
  /** The context of its span, whose id is also the id of the call in the receiver's URL. */
  readonly context: SpanContext;
  readonly startNs: bigint;
  /** `undefined` while it is running. */
  readonly endNs: bigint | undefined;
}

/** How many calls are known. The oldest one that has ended goes first. */
const MAX_CALLS = 1000;

const NONE: readonly Call[] = [];

interface Known {
  readonly context: SpanContext;
  readonly startNs: bigint;
  readonly secret: string;
  endNs: bigint | undefined;
}

export class Calls {
  readonly #calls = new Map<string, Known>();
  /** Each span of a request asks for those of its trace. */
  readonly #byTrace = new Map<string, Known[]>();
  readonly #maxCalls: number;

  constructor(maxCalls = MAX_CALLS) {
    this.#maxCalls = maxCalls;
  }

  /** Begins a call. Idempotent: the secret of a known call stays. @returns its secret */
  begin(context: SpanContext, startNs: bigint): string {
    const known = this.#calls.get(context.spanId);
    if (known !== undefined) return known.secret;
    const secret = randomBytes(24).toString("base64url");
    const call: Known = { context, startNs, secret, endNs: undefined };
    this.#calls.set(context.spanId, call);
    this.#byTrace.set(context.traceId, [...(this.#byTrace.get(context.traceId) ?? []), call]);
    this.#forget();
    return secret;
  }

  /** Ends a call, if there is one with this span. */
  end(spanId: string, endNs: bigint): void {
    const call = this.#calls.get(spanId);
    if (call !== undefined) call.endNs ??= endNs;
  }

  /** Returns the call, `"wrong_secret"`, or `undefined` if it is unknown. */
  authorise(id: string, secret: string): Call | "wrong_secret" | undefined {
    const call = this.#calls.get(id);
    if (call === undefined) return undefined;
    const [given, wanted] = [Buffer.from(secret), Buffer.from(call.secret)];
    return given.length === wanted.length && timingSafeEqual(given, wanted) ? call : "wrong_secret";
  }

  /** Returns the call with this span. */
  find(traceId: string, spanId: string): Call | undefined {
    const call = this.#calls.get(spanId);
    return call?.context.traceId === traceId ? call : undefined;
  }

  /** Returns the calls of a trace; none if it is not a trace in which the session works. */
  ofTrace(traceId: string): readonly Call[] {
    return this.#byTrace.get(traceId) ?? NONE;
  }

  #forget(): void {
    if (this.#calls.size <= this.#maxCalls) return;
    const calls = [...this.#calls.values()];
    const oldest = calls.find(({ endNs }) => endNs !== undefined) ?? calls[0];
    if (oldest === undefined) return;
    const { spanId, traceId } = oldest.context;
    this.#calls.delete(spanId);
    const others = this.#byTrace.get(traceId)?.filter((each) => each !== oldest) ?? [];
    if (others.length === 0) this.#byTrace.delete(traceId);
    else this.#byTrace.set(traceId, others);
  }
}
