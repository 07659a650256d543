/** Requests of programs that commands run, and what the receiver makes of them. */
import { create } from "@bufbuild/protobuf";
import { sessionAttributes } from "@valet/shared/spans";
import { DEFAULT_LIMITS, type SpanContext } from "@valet/shared/tracing";
import { Calls } from "../src/receiver/calls.ts";
import { type AdoptedSpan, Intake, type IntakeOptions } from "../src/receiver/intake.ts";
import { OwnSpanIds } from "../src/receiver/own-span-ids.ts";
import {
  type ExportTraceServiceRequest,
  ExportTraceServiceRequestSchema,
} from "../src/receiver/proto/opentelemetry/proto/collector/trace/v1/trace_service_pb.js";

export const [TRACE, TOOL] = ["a".repeat(32), "b".repeat(16)];
export const CONTEXT: SpanContext = { traceId: TRACE, spanId: TOOL, traceFlags: 3, traceState: "", isRemote: false };
/** Of the call, nanoseconds since 1970. */
export const START = 1_700_000_000_000_000_000n;
export const NOW = START + 60_000_000_000n;

export interface ForeignSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string | undefined;
  readonly name?: string;
  readonly startNs?: bigint;
  readonly attributes?: Readonly<Record<string, string | Uint8Array>>;
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly flags?: number;
}

const toBytes = (hex: string) => new Uint8Array(Buffer.from(hex, "hex"));
const toAttributes = (values: Readonly<Record<string, string | Uint8Array>>) =>
  Object.entries(values).map(([key, value]) => ({
    key,
    value: {
      value:
        typeof value === "string"
          ? { case: "stringValue" as const, value }
          : { case: "bytesValue" as const, value: new Uint8Array(value) },
    },
  }));

export function requestOf(
  spans: readonly ForeignSpan[],
  resource: Readonly<Record<string, string>> = { "service.name": "suite" },
): ExportTraceServiceRequest {
  return create(ExportTraceServiceRequestSchema, {
    resourceSpans: [
      {
        resource: { attributes: toAttributes(resource) },
        scopeSpans: [
          {
            scope: { name: "tests", version: "1" },
            spans: spans.map(({ traceId, spanId, parentSpanId = "", name = "work", startNs = START, ...rest }) => ({
              traceId: toBytes(traceId),
              spanId: toBytes(spanId),
              parentSpanId: toBytes(parentSpanId),
              name,
              startTimeUnixNano: startNs,
              endTimeUnixNano: startNs + 1000n,
              flags: rest.flags ?? 0,
              attributes: toAttributes(rest.attributes ?? {}),
              links: (rest.links ?? []).map((link) => ({
                traceId: toBytes(link.traceId),
                spanId: toBytes(link.spanId),
              })),
            })),
          },
        ],
      },
    ],
  });
}

/** A span as the runner stores it. */
export interface TakenSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly flags: number;
  readonly name: string;
  readonly attributes: readonly { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[];
  readonly links?: readonly {
    readonly traceId: string;
    readonly spanId: string;
    readonly attributes?: readonly { readonly key: string; readonly value: { readonly stringValue?: string } }[];
  }[];
}

/** An intake with one running call, and the spans that it has taken. */
export function setUpIntake(options: Partial<IntakeOptions> = {}) {
  const calls = new Calls();
  calls.begin(CONTEXT, START);
  const ownIds = new OwnSpanIds();
  ownIds.add(TOOL);
  const adopted: AdoptedSpan[] = [];
  const intake = new Intake({
    calls,
    ownIds,
    limits: { ...DEFAULT_LIMITS, attributeValueLength: 4096 },
    session: sessionAttributes("ses_1", 2),
    redact: (text) => text.replaceAll("hunter2secret", "REDACTED"),
    captureContent: false,
    lateTraceId: (name) => Buffer.from(name).toString("hex").slice(-32).padStart(32, "e"),
    onSpans: (spans) => adopted.push(...spans),
    nowNs: () => NOW,
    ...options,
  });
  const take = (spans: readonly ForeignSpan[], spanId = TOOL) => {
    const [call] = calls.ofTrace(TRACE).filter(({ context }) => context.spanId === spanId);
    if (call === undefined) throw new Error("no such call");
    return intake.take(requestOf(spans), call);
  };
  const taken = () => adopted.map(({ span }) => JSON.parse(span) as TakenSpan);
  return { calls, ownIds, intake, adopted, take, taken };
}

/** Returns the frame that the session would receive. */
export function frameOf(adopted: readonly AdoptedSpan[]): string {
  const elements = adopted.map(
    ({ resource, scope, span }) => `{"resource":${resource},"scopeSpans":[{"scope":${scope},"spans":[${span}]}]}`,
  );
  return `{"resourceSpans":[${elements.join(",")}]}`;
}
