/** Shows a trace as a tree in the terminal, from its OTLP/JSON. Pure. */

import { type Clocks, clocksOf } from "@valet/shared/answers/clocks";
import { ageText, breakdownText } from "@valet/shared/duration-text";
import { costText, isChargedTry, isHalfKnown } from "@valet/shared/protocol/cost";
import { OUTCOMES, SERVICES } from "@valet/shared/spans";
import { z } from "zod";
import { sizeText } from "./limits-text.ts";

const Attribute = z.object({ key: z.string(), value: z.record(z.string(), z.unknown()) });

const WireSpan = z.object({
  traceId: z.string(),
  spanId: z.string(),
  parentSpanId: z.string().optional(),
  name: z.string(),
  startTimeUnixNano: z.string(),
  endTimeUnixNano: z.string().optional(),
  attributes: z.array(Attribute).default([]),
  links: z.array(z.object({ traceId: z.string(), attributes: z.array(Attribute).default([]) })).default([]),
  status: z.object({ code: z.number().default(0), message: z.string().optional() }).default({ code: 0 }),
});

const Request = z.object({
  resourceSpans: z.array(
    z.object({
      resource: z.object({ attributes: z.array(Attribute).default([]) }).default({ attributes: [] }),
      scopeSpans: z.array(z.object({ spans: z.array(WireSpan) })),
    }),
  ),
});

export interface TraceSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly name: string;
  readonly service: string;
  /** Milliseconds since 1970. */
  readonly startMs: number;
  /** `undefined` while the span is open. */
  readonly endMs: number | undefined;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly links: readonly { readonly traceId: string; readonly type: string }[];
  readonly isError: boolean;
}

export interface TraceNode {
  readonly span: TraceSpan;
  readonly children: readonly TraceNode[];
  /** Whether its parent was not among the spans read: lost, or not there yet. */
  readonly isOrphan: boolean;
  /** Whether it is a model call whose cost lacks something. */
  readonly lacksCost: boolean;
}

/** Reads the spans of an `ExportTraceServiceRequest`. @throws ZodError for any other JSON */
export function readSpans(otlp: unknown): TraceSpan[] {
  return Request.parse(otlp).resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const service = String(toRecord(resource.attributes)["service.name"] ?? "unknown");
    return scopeSpans.flatMap(({ spans }) => spans.map((span) => toSpan(span, service)));
  });
}

function toSpan(span: z.infer<typeof WireSpan>, service: string): TraceSpan {
  return {
    traceId: span.traceId,
    spanId: span.spanId,
    parentSpanId: span.parentSpanId || undefined,
    name: span.name,
    service,
    startMs: toMillis(span.startTimeUnixNano),
    endMs: span.endTimeUnixNano === undefined ? undefined : toMillis(span.endTimeUnixNano),
    attributes: toRecord(span.attributes),
    links: span.links.map(({ traceId, attributes }) => ({
      traceId,
      type: String(toRecord(attributes)["valet.link.type"] ?? "link"),
    })),
    isError: span.status.code === 2,
  };
}

/** Converts to milliseconds, exact to the microsecond, which a double can represent. */
function toMillis(nanos: string): number {
  return Number(BigInt(nanos) / 1000n) / 1000;
}

function toRecord(attributes: readonly z.infer<typeof Attribute>[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, toValue(value)]));
}

function toValue(value: Record<string, unknown>): unknown {
  if ("intValue" in value) return Number(value.intValue);
  if ("arrayValue" in value) {
    const { values = [] } = value.arrayValue as { values?: Record<string, unknown>[] };
    return values.map(toValue);
  }
  return Object.values(value)[0];
}

/** Returns which processes' clocks differ from the Worker's. */
export function traceClocks(spans: readonly TraceSpan[]): Clocks {
  return clocksOf(
    spans.map(({ startMs, endMs, service, ...span }) => ({
      ...span,
      startUs: startMs * 1000,
      endUs: endMs === undefined ? undefined : endMs * 1000,
      outcome: String(span.attributes["valet.outcome"]),
      isAdopted: !SERVICES.some((each) => each === service),
    })),
  );
}

/** The deepest level of a tree: a sandbox may send chains of any length. */
const MAX_LEVELS = 500;

/**
 * Returns the trees of the spans, in order of time. Every span is in exactly one, also with cycles and repeated ids. What is deeper
 * than 500 levels begins a tree of its own.
 */
export function buildTrees(spans: readonly TraceSpan[]): TraceNode[] {
  const ids = new Set(spans.map(({ spanId }) => spanId));
  const byParent = Map.groupBy(spans, ({ parentSpanId }) => parentSpanId);
  const placed = new Set<TraceSpan>();
  const tooDeep: TraceSpan[] = [];
  const build = (span: TraceSpan, isOrphan: boolean, level = 1): TraceNode => {
    placed.add(span);
    const children = (byParent.get(span.spanId) ?? []).filter((child) => !placed.has(child)).sort(byStart);
    for (const child of children) placed.add(child);
    const lacksCost = lacksPart(span, children);
    if (level < MAX_LEVELS) {
      return { span, isOrphan, lacksCost, children: children.map((child) => build(child, false, level + 1)) };
    }
    tooDeep.push(...children);
    return { span, isOrphan, lacksCost, children: [] };
  };
  const trees: TraceNode[] = [];
  const plant = (span: TraceSpan, isOrphan: boolean) => {
    trees.push(build(span, isOrphan));
    for (let deep = tooDeep.pop(); deep !== undefined; deep = tooDeep.pop()) trees.push(build(deep, false));
  };
  const sorted = [...spans].sort(byStart);
  for (const span of sorted) {
    const { parentSpanId } = span;
    if (parentSpanId === undefined || !ids.has(parentSpanId)) plant(span, parentSpanId !== undefined);
  }
  // What remains are spans in a cycle; they are shown too.
  for (const span of sorted) if (!placed.has(span)) plant(span, true);
  return trees;
}

function byStart(a: TraceSpan, b: TraceSpan): number {
  return a.startMs - b.startMs;
}

/** Attributes that are shown beside a span's name and times. */
const DETAILS: readonly [key: string, show: (value: unknown, node: TraceNode) => string][] = [
  ["valet.llm.attempt", (value) => `try ${value}`],
  ["valet.outcome", (value) => (value === "ok" ? "" : String(value))],
  ["error.type", String],
  ["valet.outcome.reason", String],
  ["valet.queue.reason", (value, { span }) => `${isOpenWait(span) ? "waits for" : "waited"}: ${value}`],
  ["gen_ai.usage.input_tokens", (value) => `${value} in`],
  ["gen_ai.usage.output_tokens", (value) => `${value} out`],
  ["valet.llm.cost_usd", (value, { lacksCost }) => (Number(value) > 0 ? costText(Number(value), lacksCost) : "")],
  ["process.exit.code", (value) => `exit ${value}`],
  ["valet.usage.cpu_ms", (value) => `${breakdownText(Number(value))} CPU`],
  ["valet.usage.memory_peak_bytes", (value) => `${sizeText(Number(value))} memory`],
  ["valet.usage.disk_written_bytes", (value) => (Number(value) > 0 ? `${sizeText(Number(value))} written` : "")],
];

function isOpenWait({ name, endMs }: TraceSpan): boolean {
  return endMs === undefined && name === "valet.queue.wait";
}

/**
 * Returns whether a model call's cost lacks something: a side of the usage that the provider did not report, tokens without a price, or a
 * failed try that may have been charged.
 */
function lacksPart({ name, attributes }: TraceSpan, children: readonly TraceSpan[]): boolean {
  if (!name.startsWith("chat ")) return false;
  return (
    isHalfKnown((key) => attributes[key]) ||
    children.some((child) => child.endMs !== undefined && isChargedTry({ ...child, outcome: outcomeOf(child) }))
  );
}

function outcomeOf({ attributes }: TraceSpan) {
  return OUTCOMES.find((outcome) => outcome === attributes["valet.outcome"]) ?? null;
}

const BAR_WIDTH = 24;
/** The width of a tree without its bars and the names, which are wanted more. */
const WITHOUT_BARS = 70;

/** Returns how wide the bars are on a terminal of so many columns; 0 stands for none. */
export function barWidth(columns: number | undefined): number {
  if (columns === undefined) return BAR_WIDTH;
  const room = Math.min(BAR_WIDTH, columns - WITHOUT_BARS);
  return room < 8 ? 0 : room;
}

/**
 * Returns the trees as lines: start, duration, a bar on the trace's time axis, the tree.
 * @param nowMs the end of the bars of open spans
 * @param width that of the bars; 0 for none
 * @param isForAgent whether each line has the span's id instead of a bar, and whole ids of linked traces
 * @param clocks those of the whole trace: ages are by the Worker's
 */
export function renderTrees(
  trees: readonly TraceNode[],
  nowMs: number,
  isForAgent = false,
  width = BAR_WIDTH,
  clocks: Pick<Clocks, "shiftUs"> = traceClocks(trees.flatMap(flatten)),
): string[] {
  const spans = trees.flatMap(flatten);
  const startMs = spans.reduce((first, span) => Math.min(first, span.startMs), Infinity);
  const endOf = ({ spanId, startMs: from, endMs: until }: TraceSpan) =>
    until ?? Math.max(from, nowMs - clocks.shiftUs(spanId) / 1000);
  const endMs = spans.reduce((last, span) => Math.max(last, endOf(span)), -Infinity);
  const lines: string[] = [];
  const add = (node: TraceNode, branch: string, below: string): void => {
    const { span, children, isOrphan } = node;
    const end = endOf(span);
    const columns = [
      `+${breakdownText(span.startMs - startMs)}`.padStart(10),
      (span.endMs === undefined ? "open" : breakdownText(end - span.startMs)).padStart(9),
      ...(isForAgent
        ? [span.spanId]
        : width === 0
          ? []
          : [bar(span.startMs - startMs, end - startMs, endMs - startMs, width)]),
      `${branch}${mark(span)}${span.name}${span.endMs === undefined ? `  ${openNote(span, nowMs, clocks.shiftUs(span.spanId) / 1000)}` : ""}`,
    ];
    const details = DETAILS.flatMap(([key, show]) =>
      key in span.attributes ? show(span.attributes[key], node) || [] : [],
    );
    const links = span.links.map(({ type, traceId }) => `${type} → ${isForAgent ? traceId : traceId.slice(0, 8)}`);
    const notes = [...details, ...links, ...(isOrphan ? ["parent missing"] : [])];
    lines.push(`${columns.join("  ")}${notes.length > 0 ? `  (${notes.join(", ")})` : ""}`);
    children.forEach((child, i) => {
      const last = i === children.length - 1;
      add(child, `${below}${last ? "└─ " : "├─ "}`, `${below}${last ? "   " : "│  "}`);
    });
  };
  for (const tree of trees) add(tree, "", "");
  return lines;
}

/** A runner sends a heartbeat every 15 seconds. */
const SILENT_MS = 20_000;

/** Says how long a span has been open, and when data last arrived. @param shiftMs added to the span's times to convert them to the Worker's clock, in ms */
function openNote({ name, startMs, attributes }: TraceSpan, nowMs: number, shiftMs: number): string {
  const age = (sinceMs: number) => ageText(nowMs - sinceMs - shiftMs);
  const notes = [`open ${age(startMs)}`, ...dataNotes(name, attributes, age)];
  const { "valet.last_seen_ms": seenMs } = attributes;
  if (typeof seenMs === "number" && nowMs - seenMs > SILENT_MS) {
    // That time is by the Worker's clock.
    notes.push(`runner silent for ${ageText(nowMs - seenMs)}`);
  }
  return notes.join(", ");
}

/** Bytes after the last text that are this late are shown, too: the provider keeps its connection open, but is silent. */
const BYTES_ONLY_MS = 10_000;

/**
 * Says what was last heard of what a span waits for. Of a model call only what belongs to its last try counts; an older runner
 * reports text alone.
 */
function dataNotes(name: string, attributes: TraceSpan["attributes"], age: (sinceMs: number) => string): string[] {
  const read = (key: string) => {
    const value = attributes[key];
    return typeof value === "number" ? value : undefined;
  };
  const [what] = WAITED_FOR.find(([, pattern]) => pattern.test(name)) ?? [];
  const requestMs = read("valet.llm.last_request_ms");
  const since = (ms: number | undefined) => (ms === undefined || ms < (requestMs ?? 0) ? undefined : ms);
  const [dataMs, byteMs] = [since(read("valet.last_heard_ms")), since(read("valet.llm.last_byte_ms"))];
  const bytes = byteMs === undefined ? [] : [`last byte ${age(byteMs)} ago`];
  if (dataMs !== undefined) {
    const isLater = byteMs !== undefined && byteMs - dataMs > BYTES_ONLY_MS;
    return [`last ${what ?? "data"} ${age(dataMs)} ago`, ...(isLater ? bytes : [])];
  }
  if (byteMs === undefined && requestMs !== undefined) return ["no byte yet"];
  return what === undefined ? [] : [`no ${what} yet`, ...bytes];
}

/** The data that arrives while a span is open. Comments that keep a provider's connection open are no text. */
const WAITED_FOR: readonly (readonly [what: string, name: RegExp])[] = [
  ["text", /^chat /],
  ["output", /^execute_tool /],
  ["answer", /^valet\.(?:permission|question)\.wait$/],
];

function flatten({ span, children }: TraceNode): TraceSpan[] {
  return [span, ...children.flatMap(flatten)];
}

function mark({ isError, endMs }: TraceSpan): string {
  return isError ? "✗ " : endMs === undefined ? "… " : "";
}

function bar(from: number, to: number, whole: number, width: number): string {
  const scale = whole > 0 ? width / whole : 0;
  const start = Math.min(width - 1, Math.floor(from * scale));
  const end = Math.max(start + 1, Math.min(width, Math.ceil(to * scale)));
  return `${"·".repeat(start)}${"█".repeat(end - start)}${"·".repeat(width - end)}`;
}
