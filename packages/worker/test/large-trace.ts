/** Writes a large trace into a session's tables, in the segments in which its runner would have sent it. */
import { gzipSync } from "node:zlib";
import { encodeSkeleton, type SkeletonSpan } from "@valet/shared/protocol/skeleton-codec";
import { sessionAttributes } from "@valet/shared/spans";
import {
  type EpochTime,
  encodeTraces,
  type ReadableSpan,
  type Span,
  SpanKind,
  StatusCode,
  Tracer,
} from "@valet/shared/tracing";
import type { Tables } from "./long-session.ts";

export interface LargeTrace {
  readonly traceId: string;
  readonly spans: number;
  /** Epoch ms. */
  readonly startMs: number;
  readonly endMs: number;
}

/** As the trace store closes a segment. */
const SEGMENT_SPANS = 200;
/** Of each step of the agent. */
const STEP_MS = 1_200;
const TOOLS = ["bash", "read", "edit", "grep", "glob", "webfetch"];

/**
 * Adds the trace of a message with one long turn: model calls with the tools that they call, some of which are subagents with calls
 * of their own; one call in fifty has failed. Its spans count as exported.
 * A step takes about a second.
 * @param startMs when it begins, epoch ms
 */
export function addLargeTrace(tables: Tables, sessionId: string, wanted: number, startMs: number): LargeTrace {
  const ended = turnSpans(sessionId, wanted, startMs);
  const root = ended.at(-1) as ReadableSpan;
  const { traceId } = root.context;
  const endMs = Math.ceil(usOf(root.endTime as EpochTime) / 1000);
  const number = (query: string) => Number(tables.exec(`SELECT COALESCE(${query}, 0) AS number`).toArray()[0]?.number);
  let id = number("(SELECT MAX(id) FROM trace_segments)");
  let bytes = number("(SELECT MAX(end_bytes) FROM trace_segments)");
  let sampled = number("(SELECT MAX(end_sampled) FROM trace_segments)");
  let errors = 0;
  for (let at = 0; at < ended.length; at += SEGMENT_SPANS) {
    const part = ended.slice(at, at + SEGMENT_SPANS);
    const bones = part.map(boneOf);
    const body = gzipSync(encodeTraces({ "service.name": "valet-runner" }, part));
    const failed = bones.filter(({ isError }) => isError).length;
    id += 1;
    bytes += body.length;
    sampled += part.length;
    errors += failed;
    tables.exec(
      "INSERT INTO trace_segments (id, closed_ms, sampled, spans, end_bytes, end_sampled, body) VALUES (?, ?, 1, ?, ?, ?, unhex(?))",
      ...[id, endMs, part.length, bytes, sampled, body.toString("hex")],
    );
    const total = {
      ...{ traceId, name: "valet.prompt", nameUs: startMs * 1000, nameLevel: 0 },
      ...{ startUs: startMs * 1000, endUs: endMs * 1000, spans: at + part.length, errors },
    };
    tables.exec(
      "INSERT INTO trace_index (trace_id, segment_id, spans, errors, is_whole, total, skeleton) VALUES (?, ?, ?, ?, 1, ?, ?)",
      ...[traceId, id, part.length, failed, JSON.stringify(total), JSON.stringify(encodeSkeleton(bones))],
    );
  }
  tables.exec("INSERT INTO trace_starts (start_us, trace_id) VALUES (?, ?)", startMs * 1000, traceId);
  tables.exec("UPDATE trace_export SET segment_id = ?", id);
  return { traceId, spans: ended.length, startMs, endMs };
}

/** Returns the spans in the order of their ends; the root is the last one. */
function turnSpans(sessionId: string, wanted: number, startMs: number): ReadableSpan[] {
  const ended: ReadableSpan[] = [];
  const tracer = new Tracer({
    scope: { name: "@valet/runner" },
    processor: { onStart: () => {}, onEnd: (span) => ended.push(span) },
  });
  const session = sessionAttributes(sessionId);
  let left = wanted - 3;
  const begin = (
    name: string,
    parent: Span | undefined,
    startTime: number,
    attributes: Record<string, string | number>,
  ) =>
    tracer.startSpan(name, {
      ...(parent !== undefined && { parent }),
      kind: name.startsWith("chat ") ? SpanKind.CLIENT : SpanKind.INTERNAL,
      startTime,
      attributes: { ...session, ...attributes },
    });
  const end = (span: Span, atMs: number, isError = false) => {
    span.setAttributes({ "valet.outcome": isError ? "error" : "ok", ...(isError && { "error.type": "tool_failed" }) });
    if (isError) span.setStatus(StatusCode.ERROR);
    span.end(atMs);
  };
  /** A model call and what it calls. @returns when it ends */
  const step = (parent: Span, fromMs: number, number: number, depth: number): number => {
    left -= 1;
    const chat = begin("chat claude-sonnet-4-5", parent, fromMs, {
      "gen_ai.usage.input_tokens": 20_000 + number,
      "gen_ai.usage.output_tokens": 150 + (number % 900),
      "gen_ai.response.time_to_first_chunk": 0.3,
    });
    let atMs = fromMs + STEP_MS / 2;
    end(chat, atMs);
    for (let call = 0; call < 1 + (number % 4) && left > 0; call++) {
      left -= 1;
      const isSubagent = depth < 3 && (number + call) % 23 === 0;
      const tool = begin(`execute_tool ${isSubagent ? "task" : TOOLS[(number + call) % TOOLS.length]}`, parent, atMs, {
        "gen_ai.tool.call.id": `toolu_${number}_${call}`,
        "valet.tool.output_length": 2_048 + (number % 4_096),
      });
      let doneMs = atMs + 80 + ((number * 37) % 400);
      for (let inner = 0; isSubagent && inner < 6 && left > 0; inner++) {
        doneMs = step(tool, inner === 0 ? atMs + 10 : doneMs, number + inner + 1, depth + 1);
      }
      end(tool, doneMs, (number + call) % 50 === 0);
      atMs = doneMs;
    }
    return atMs + 5;
  };
  const prompt = begin("valet.prompt", undefined, startMs, {});
  const dispatch = begin("valet.prompt.dispatch", prompt, startMs + 4, { "valet.dispatch.attempt": 1 });
  const turn = begin("valet.turn", dispatch, startMs + 9, {});
  let atMs = startMs + 20;
  for (let number = 1; left > 0; number++) atMs = step(turn, atMs, number, 0);
  for (const span of [turn, dispatch, prompt]) end(span, atMs);
  return ended;
}

function usOf({ seconds, nanos }: EpochTime): number {
  return seconds * 1e6 + Math.floor(nanos / 1000);
}

function boneOf({ context, parent, name, kind, startTime, endTime, statusCode }: ReadableSpan): SkeletonSpan {
  const isError = statusCode === StatusCode.ERROR;
  return {
    spanId: context.spanId,
    parentSpanId: parent?.spanId,
    name,
    kind,
    startUs: usOf(startTime),
    endUs: endTime && usOf(endTime),
    outcome: isError ? "error" : "ok",
    isError,
    isSealed: false,
    links: [],
  };
}
