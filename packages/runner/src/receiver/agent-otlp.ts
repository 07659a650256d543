/**
 * Lets what the agent's commands run send its traces to the session: starts the receiver, gives each command its endpoint and its
 * secret, and observes the runner's own spans, whose ends are the ends of the calls.
 */
import { createHash } from "node:crypto";
import { ownTraceId } from "@valet/shared/protocol/own-trace-ids";
import { type RefusedKind, sessionAttributes } from "@valet/shared/spans";
import {
  DEFAULT_LIMITS,
  type EpochTime,
  isValidContext,
  type ReadableSpan,
  type SpanContext,
  type SpanLimits,
  type SpanProcessor,
} from "@valet/shared/tracing";
import { Calls } from "./calls.ts";
import { type AdoptedSpan, Intake } from "./intake.ts";
import { OwnSpanIds } from "./own-span-ids.ts";
import { type Receiver, SECRET_HEADER, startReceiver } from "./receiver.ts";

export interface AgentOtlpOptions {
  readonly sessionId: string;
  readonly generation: number;
  /** The deployment's limits of spans, which apply to these, too; text has a limit in any case. */
  readonly spanLimits?: SpanLimits | undefined;
  /** Where the spans go. */
  readonly outbox: { readonly isUnderPressure: boolean; adopt(spans: readonly AdoptedSpan[]): void };
  /** Removes the secrets that the runner knows. */
  readonly redact: (text: string) => string;
  /** Called with what was refused since the last call, by kind. */
  readonly onRefused: (counts: ReadonlyMap<RefusedKind, number>) => void;
  readonly now: () => EpochTime;
  readonly reportDelayMs?: number;
}

/** Of a text in a foreign span, in UTF-16 code units. */
const MAX_VALUE_LENGTH = 4096;
/** What is refused is reported at most this often. */
const REPORT_DELAY_MS = 10_000;

export class AgentOtlp implements SpanProcessor {
  readonly #options: AgentOtlpOptions;
  readonly #calls = new Calls();
  readonly #ownIds = new OwnSpanIds();
  readonly #refused = new Map<RefusedKind, number>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #receiver: Receiver | undefined;

  constructor(options: AgentOtlpOptions) {
    this.#options = options;
  }

  onStart(span: ReadableSpan): void {
    this.#ownIds.add(span.context.spanId);
  }

  onEnd({ context, endTime }: ReadableSpan): void {
    this.#ownIds.add(context.spanId);
    if (endTime !== undefined) this.#calls.end(context.spanId, toNs(endTime));
  }

  /**
   * Starts the receiver.
   * @param captureContent whether people allow that content is recorded
   * @returns its URL
   */
  start(captureContent: boolean): string {
    const { sessionId, generation, spanLimits = DEFAULT_LIMITS, outbox, redact, now } = this.#options;
    const { attributeValueLength } = spanLimits;
    const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
    const intake = new Intake({
      calls: this.#calls,
      ownIds: this.#ownIds,
      limits: { ...spanLimits, attributeValueLength: Math.min(attributeValueLength, MAX_VALUE_LENGTH) },
      session: sessionAttributes(sessionId, generation),
      redact,
      captureContent,
      lateTraceId: (name) => ownTraceId(sessionId, lateHalf(sha256(`late ${name}`)), sha256),
      onSpans: (spans) => outbox.adopt(spans),
      nowNs: () => toNs(now()),
    });
    this.#receiver = startReceiver({
      calls: this.#calls,
      intake,
      isFull: () => outbox.isUnderPressure,
      onRefused: (what, count) => this.#countRefused(what, count),
    });
    return this.#receiver.url;
  }

  /** Returns the variables by which a command's programs find the receiver; none while it is not started, or without a trace. */
  environment(context: SpanContext): Record<string, string> {
    if (this.#receiver === undefined || !isValidContext(context)) return {};
    const secret = this.#calls.begin(context, toNs(this.#options.now()));
    return {
      OTEL_EXPORTER_OTLP_ENDPOINT: `${this.#receiver.url}/${context.spanId}`,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf",
      OTEL_EXPORTER_OTLP_HEADERS: `${SECRET_HEADER}=${secret}`,
    };
  }

  async stop(): Promise<void> {
    const receiver = this.#receiver;
    this.#receiver = undefined;
    await receiver?.stop();
    this.#report();
  }

  #countRefused(what: RefusedKind, count: number): void {
    this.#refused.set(what, (this.#refused.get(what) ?? 0) + count);
    this.#timer ??= setTimeout(() => this.#report(), this.#options.reportDelayMs ?? REPORT_DELAY_MS);
    this.#timer.unref();
  }

  #report(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#refused.size === 0) return;
    const counts = new Map(this.#refused);
    this.#refused.clear();
    this.#options.onRefused(counts);
  }
}

function lateHalf(hash: string): string {
  return hash.slice(0, 16);
}

function toNs({ seconds, nanos }: EpochTime): bigint {
  return BigInt(seconds) * 1_000_000_000n + BigInt(nanos);
}
