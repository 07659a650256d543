/** The tools that show traces and single spans. */

import { clockTexts } from "@valet/shared/answers/clocks";
import { breakdownText } from "@valet/shared/duration-text";
import { z } from "zod";
import type { ApiClient } from "../api-client.ts";
import { summaryLine } from "../commands/trace.ts";
import { counted } from "../counted.ts";
import { UserError } from "../errors.ts";
import { findVerifiable } from "../find-verifiable.ts";
import { buildTrees, readSpans, renderTrees, type TraceSpan, traceClocks } from "../trace-tree.ts";
import { verifiedLines } from "../verify-text.ts";
import { verifyTraces } from "../verify-traces.ts";
import * as args from "./arguments.ts";
import { defineTool, READS, type Tool } from "./tool.ts";
import { quoted } from "./tool-result.ts";
import { choosePart } from "./trace-parts.ts";

/** In how many of a session's newest traces spans are searched. */
const MAX_SEARCHED = 20;
const MAX_FOUND = 30;
/** How many requests are made at once. */
const AT_ONCE = 8;
/** The deepest traces have some ten levels; sub-agents nest. */
const MAX_DEPTH = 100;

const traces = defineTool({
  name: "traces",
  title: "List the traces of a session",
  description:
    "Lists the newest traces of a session: one for each message, workflow, start and hibernation of its sandbox.",
  input: z.strictObject({ session: args.session, limit: args.limit(100, 20) }),
  effects: READS,
  run: async (api, { session, limit }) => {
    const found = await api.newestTraces(session);
    const lines = found.slice(0, limit).map(summaryLine);
    return {
      lines: lines.length === 0 ? ["No traces yet."] : lines,
      notes: found.length > limit ? ["There are more traces: ask with a larger `limit`."] : [],
    };
  },
});

const trace = defineTool({
  name: "trace",
  title: "Show a trace as a tree",
  description:
    "Shows the spans of a trace as a tree: start, duration, id, name, outcome, what it waits for, tokens, cost. Of a large trace ask " +
    "for a part: `trouble` for spans that failed or are open, `depth` for the upper levels, then `span` for what is below one.",
  input: z.strictObject({
    session: args.session,
    trace: args.trace,
    span: args.span.optional().describe("Only this span and those below it"),
    depth: z.int().min(1).max(MAX_DEPTH).default(MAX_DEPTH).describe("How many levels"),
    trouble: z.boolean().default(false).describe("Only spans that failed or are open, with those above them"),
    from: z.int().min(0).default(0).describe("How many lines to skip, to read on"),
  }),
  effects: READS,
  run: async (api, { session, trace: traceId, span: spanId, depth, trouble, from }) => {
    const spans = readSpans(await api.trace(session, traceId));
    const part = choosePart(buildTrees(spans), { spanId, depth, troubleOnly: trouble });
    if (part === undefined)
      throw new UserError(`Trace ${traceId} has no span ${spanId}. \`search_spans\` finds spans.`);
    const { trees, tooDeep } = part;
    const services = [...new Set(spans.map(({ service }) => service))].sort();
    const clocks = traceClocks(spans);
    const lines = renderTrees(trees, api.serverNow(), true, 0, clocks);
    return {
      lines: [
        `trace ${traceId}: ${counted(spans.length, "span")} of ${services.join(", ")}`,
        ...(lines.length === 0 ? ["No span failed, and none is open."] : lines.slice(from)),
      ],
      notes: [
        ...clockTexts(clocks),
        ...(tooDeep === 0
          ? []
          : [`${counted(tooDeep, "span")} deeper than ${depth} levels: ask with \`span\` or a larger \`depth\`.`]),
      ],
      more: "Ask with `trouble`, `depth` or `span` for a part of the trace, or with `from` to read on.",
    };
  },
});

const span = defineTool({
  name: "span",
  title: "Show one span",
  description: "Shows one span with its times, all of its attributes and its links.",
  input: z.strictObject({ session: args.session, trace: args.trace, span: args.span }),
  effects: READS,
  run: async (api, { session, trace: traceId, span: spanId }) => {
    const [found] = readSpans(await api.span(session, traceId, spanId));
    if (found === undefined)
      throw new UserError(`Trace ${traceId} has no span ${spanId}. \`search_spans\` finds spans.`);
    return { lines: spanLines(found) };
  },
});

const search = defineTool({
  name: "search_spans",
  title: "Search spans",
  description:
    "Finds spans of a session by a part of their name, or of an attribute written `key=value`: `execute_tool bash`, " +
    "`valet.outcome=error`, `error.type=`. Without `trace` it searches the newest 20 traces of the session.",
  input: z.strictObject({
    session: args.session,
    trace: args.trace.optional(),
    text: z.string().min(1).max(200).describe("What to look for; case does not count"),
    limit: args.limit(MAX_FOUND, MAX_FOUND),
  }),
  effects: READS,
  run: async (api, { session, trace: traceId, text, limit }) => {
    const searched = traceId === undefined ? (await api.newestTraces(session)).slice(0, MAX_SEARCHED) : [{ traceId }];
    const found: { traceId: string; spanId: string }[] = [];
    for (const { traceId: id } of searched) {
      // One more than is shown, to know whether there are more.
      const spanIds = await api.searchTrace(session, id, text, limit + 1 - found.length);
      found.push(...spanIds.map((spanId) => ({ traceId: id, spanId })));
      if (found.length > limit) break;
    }
    const lines = await foundLines(api, session, found.slice(0, limit));
    return {
      lines: lines.length === 0 ? [`No span has ${JSON.stringify(text)} in its name or attributes.`] : lines,
      notes: found.length > limit ? ["There are more: ask with `trace`, or for a longer text."] : [],
    };
  },
});

async function foundLines(
  api: ApiClient,
  session: string,
  found: readonly { readonly traceId: string; readonly spanId: string }[],
): Promise<string[]> {
  const lines: string[] = [];
  for (let first = 0; first < found.length; first += AT_ONCE) {
    const asked = found.slice(first, first + AT_ONCE).map(async ({ traceId, spanId }) => {
      const [each] = readSpans(await api.span(session, traceId, spanId));
      return each === undefined ? [] : [foundLine(each)];
    });
    lines.push(...(await Promise.all(asked)).flat());
  }
  return lines;
}

function foundLine({ traceId, spanId, name, startMs, endMs, attributes }: TraceSpan): string {
  const notes = [attributes["valet.outcome"], attributes["error.type"]].filter((each) => each !== undefined);
  const duration = endMs === undefined ? "open" : breakdownText(endMs - startMs);
  const start = new Date(startMs).toISOString();
  return [start, `${traceId}/${spanId}`, duration, name, ...(notes.length > 0 ? [`(${notes.join(", ")})`] : [])].join(
    "  ",
  );
}

function spanLines(found: TraceSpan): string[] {
  const { traceId, spanId, parentSpanId, name, service, startMs, endMs, attributes, links } = found;
  const end = endMs === undefined ? "open" : `${new Date(endMs).toISOString()} (${breakdownText(endMs - startMs)})`;
  return [
    `${name} of ${service}`,
    `${traceId}/${spanId}${parentSpanId === undefined ? "" : `, below ${parentSpanId}`}`,
    `${new Date(startMs).toISOString()} to ${end}`,
    ...links.map(({ type, traceId: other }) => `link ${type} to trace ${other}`),
    ...Object.entries(attributes).flatMap(([key, value]) => quoted(`${key}=${textOf(value)}`)),
  ];
}

const textOf = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));

const verify = defineTool({
  name: "verify",
  title: "Whether traces are whole",
  description:
    "Says what became of each span of a message, a workflow or a whole session: stored, sent to the backend, open, lost or refused, and " +
    "why. It does not wait: what is `pending` may be complete a moment later.",
  input: z.strictObject({ session: args.session.optional(), message: args.message.optional() }),
  effects: READS,
  run: async (api, { session, message }) => {
    const [first, second] = [session, message].filter((id) => id !== undefined);
    if (first === undefined)
      throw new UserError("Give `session`, `message`, or both. The tool `sessions` lists sessions.");
    const { what, sessionId, traceIds } = await findVerifiable(api, first, second);
    const options = { backend: undefined, waitMs: 0, report: () => {} };
    const verified = await verifyTraces(api, sessionId, traceIds, options);
    return { lines: verifiedLines(what, verified), more: "Ask for one message." };
  },
});

export const TRACE_TOOLS: readonly Tool[] = [traces, trace, span, search, verify];
