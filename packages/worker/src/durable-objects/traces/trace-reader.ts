/** Reads the stored spans: lists of traces, one trace, links to it, and all ended spans. */
import type { WhySpan } from "@valet/shared/answers/why/spans";
import { DOUBLE_KEYS } from "@valet/shared/spans";
import { encodeResource, encodeScope, encodeSpan } from "@valet/shared/tracing";
import { levelOf } from "./otlp-request.ts";
import { plainSpans } from "./plain-spans.ts";
import type { RunnerInstances } from "./runner-instances.ts";
import { segmentCursor } from "./segment-cursor.ts";
import { toMicros } from "./span-facts.ts";
import { runnerResource, type Stamp } from "./stamp.ts";
import { TraceBacklinks } from "./trace-backlinks.ts";
import { compareTraces, type TracePosition } from "./trace-index.ts";
import { OBJECT, type OwnedSpan, type TraceOpenSpans } from "./trace-open-spans.ts";
import { matcherOf } from "./trace-search.ts";
import type { TraceSegments } from "./trace-segments.ts";
import { TraceSkeletons } from "./trace-skeletons.ts";
import { mergeSummaries, summariseOpen, type TraceSummary } from "./trace-summary.ts";
import {
  fullPage,
  groupsOfTrace,
  groupsWith,
  REQUEST_END,
  REQUEST_HEAD,
  requestText,
  spansOf,
  streamOf,
  type WireSpan,
} from "./trace-text.ts";

/** A trace in a list. */
export interface ListedTrace extends TraceSummary {
  readonly openSpans: number;
}

/** The maximum size of a page of spans as text, in UTF-16 units; the segment that exceeds it is the page's last. */
const MAX_PAGE_LENGTH = 16 * 1024 * 1024;

/** Open spans do not name their scope; this marks them as open. */
const OPEN_SCOPE = { name: "valet.open" };

/** Returns a sign of life that is not stored yet, by the runner's instance id. */
type SeenMs = (instanceId: string) => number | undefined;

/** A page of the spans that a search has found. */
export interface SearchPage {
  readonly spanIds: readonly string[];
  readonly nextCursor?: string;
}

export class TraceReader {
  /** Reads the skeletons of traces. */
  readonly skeletons: TraceSkeletons;
  /** Reads the links to traces. */
  readonly backlinks: TraceBacklinks;
  readonly #segments: TraceSegments;
  readonly #open: TraceOpenSpans;
  readonly #instances: RunnerInstances;
  readonly #object: Pick<Stamp, "sessionId" | "resource" | "known">;

  /** @param object its session, the resource of its own spans, and what it knows of others */
  constructor(
    segments: TraceSegments,
    open: TraceOpenSpans,
    instances: RunnerInstances,
    object: Pick<Stamp, "sessionId" | "resource" | "known">,
  ) {
    this.#segments = segments;
    this.#open = open;
    this.skeletons = new TraceSkeletons(segments, open, object.sessionId);
    this.backlinks = new TraceBacklinks(segments, open, object.sessionId);
    this.#instances = instances;
    this.#object = object;
  }

  /**
   * Lists the session's traces in the order of {@link compareTraces}.
   * @param after the last trace of the previous page
   * @param limit the maximum number; all if omitted
   */
  traces(after?: TracePosition, limit = Number.MAX_SAFE_INTEGER): ListedTrace[] {
    const open = Map.groupBy(this.#open.allOwned(), ({ span }) => span.context.traceId);
    const begun = [...open.values()].flat().map((each) => this.#summaryOfOpen(each));
    const tail = this.#segments.tailSummaries();
    const inTail = new Set(tail.map(({ traceId }) => traceId));
    const { index } = this.#segments;
    const live = [...open.keys()].flatMap((traceId) => (inTail.has(traceId) ? [] : (index.summary(traceId) ?? [])));
    const recent = mergeSummaries([tail, live, begun]);
    const older = index.newest(
      limit,
      after,
      recent.map(({ traceId }) => traceId),
    );
    return [...recent.filter((each) => after === undefined || compareTraces(after, each) < 0), ...older]
      .sort(compareTraces)
      .slice(0, limit)
      .map((summary) => ({ ...summary, openSpans: open.get(summary.traceId)?.length ?? 0 }));
  }

  /** Lists the traces whose ids begin with a text, in the order of their ids. */
  startingWith(prefix: string, limit: number): TraceSummary[] {
    const begun = this.#open.allOwned().map((each) => this.#summaryOfOpen(each));
    const tail = this.#segments.tailSummaries();
    // Those of the tail have the totals over the segments, too.
    const inTail = new Set(tail.map(({ traceId }) => traceId));
    const recent = mergeSummaries([tail, begun]);
    const found = new Map(recent.flatMap((each) => (each.traceId.startsWith(prefix) ? [[each.traceId, each]] : [])));
    const { index } = this.#segments;
    let next = index.firstFrom(prefix);
    for (let count = 0; count < limit && next?.traceId.startsWith(prefix); count++) {
      const known = found.get(next.traceId);
      const isTotal = inTail.has(next.traceId);
      const [whole = next] = mergeSummaries([isTotal ? [] : [next], known === undefined ? [] : [known]]);
      found.set(next.traceId, whole);
      // No id is between a trace's and this text: a space is before every digit.
      next = index.firstFrom(`${next.traceId} `);
    }
    return [...found.values()].sort((a, b) => (a.traceId < b.traceId ? -1 : 1)).slice(0, limit);
  }

  #summaryOfOpen({ owner, span: { context, parent, name, startTime } }: OwnedSpan): TraceSummary {
    const facts = { traceId: context.traceId, name, startUs: toMicros(startTime), level: levelOf(parent) };
    const aheadMs = owner === OBJECT ? 0 : (this.#object.known?.runnerAheadMs() ?? 0);
    return summariseOpen(facts, owner !== OBJECT, aheadMs * 1000);
  }

  /**
   * Returns one trace as OTLP/JSON, streamed one segment at a time, since the largest traces exceed what an object can
   * hold or return at once. Open spans have no `endTimeUnixNano`; those of a runner have its last sign of life.
   * `undefined` for an unknown trace.
   * @param seenMs signs of life that are not stored yet, by the runner's instance id
   * @param after the last segment of the previous page; a full page ends with `nextCursor`, which names its own last
   * segment
   */
  trace(traceId: string, seenMs: SeenMs = () => undefined, after = 0): ReadableStream<Uint8Array> | undefined {
    const open = this.#open.ofTrace(traceId).map((each) => this.#openGroup(each, seenMs));
    const groups = this.#groupsOf(traceId, open, after);
    const first = groups.next();
    if (first.done) return after === 0 ? undefined : streamOf(requestText("", groups));
    return streamOf(requestText(first.value, groups));
  }

  /** Returns an open span as an element of `resourceSpans`. */
  #openGroup({ owner, span }: OwnedSpan, seenMs: SeenMs): string {
    const lastSeenMs = owner === OBJECT ? undefined : lastOf(this.#instances.lastSeenMs(owner), seenMs(owner));
    const seen = lastSeenMs === undefined ? [] : ["valet.last_seen_ms", lastSeenMs];
    const attributes = [...span.attributes, ...seen];
    const text = encodeSpan({ ...span, attributes, scope: OPEN_SCOPE, endTime: undefined, doubleKeys: DOUBLE_KEYS });
    const resource = owner === OBJECT ? encodeResource(this.#object.resource) : runnerResource(this.#object, owner);
    return `{"resource":${resource},"scopeSpans":[{"scope":${encodeScope(OPEN_SCOPE)},"spans":[${text}]}]}`;
  }

  /**
   * Returns the spans of a trace as plain data, with the memory that takes: read in parts, the last part first.
   * @param most about how many: the part that exceeds it is the last that is read
   */
  plainSpans(traceId: string, most: number, seenMs: SeenMs = () => undefined): WhySpan[] {
    const { sessionId } = this.#object;
    const spans: WhySpan[] = [];
    const add = (text: string) => {
      for (const span of plainSpans(text, sessionId, traceId)) spans.push(span);
    };
    for (const each of this.#open.ofTrace(traceId))
      add(`${REQUEST_HEAD}${this.#openGroup(each, seenMs)}${REQUEST_END}`);
    const tail = this.#segments.tailText();
    if (tail !== undefined) add(tail);
    for (const { id } of this.#segments.index.holding(traceId, 0).reverse()) {
      if (spans.length >= most) break;
      const text = this.#segments.text(id);
      if (text !== undefined) add(text);
    }
    return spans;
  }

  /** Returns one span as OTLP/JSON, like {@link trace}; `undefined` for an unknown one. */
  span(traceId: string, spanId: string, seenMs: SeenMs = () => undefined): string | undefined {
    const open = this.#open.ofTrace(traceId).find(({ span }) => span.context.spanId === spanId);
    const isWanted = (span: WireSpan) => span.traceId === traceId && span.spanId === spanId;
    const group = open === undefined ? this.#endedGroup(traceId, spanId, isWanted) : this.#openGroup(open, seenMs);
    return group === undefined ? undefined : `${REQUEST_HEAD}${group}${REQUEST_END}`;
  }

  /** If a sender has repeated a span, its first end counts. */
  #endedGroup(traceId: string, spanId: string, isWanted: (span: WireSpan) => boolean): string | undefined {
    for (const id of this.skeletons.segmentsOf(traceId, spanId)) {
      const [group] = groupsWith(this.#segments.text(id) ?? `${REQUEST_HEAD}${REQUEST_END}`, isWanted);
      if (group !== undefined) return group;
    }
    return groupsWith(this.#segments.tailText() ?? `${REQUEST_HEAD}${REQUEST_END}`, isWanted)[0];
  }

  /**
   * Returns the ids of the trace's spans whose name or attributes contain a text, see {@link matcherOf}.
   * @param after the last segment of the previous page
   */
  search(traceId: string, query: string, after = 0): SearchPage {
    const { mayMatch, matches } = matcherOf(query);
    const spanIds = new Set<string>();
    const add = (text: string) => {
      if (!mayMatch(text)) return;
      for (const span of spansOf(text)) if (span.traceId === traceId && matches(span)) spanIds.add(span.spanId);
    };
    let [length, last] = [0, after];
    for (const { id } of this.#segments.index.holding(traceId, after)) {
      if (length >= MAX_PAGE_LENGTH) {
        const list = { sessionId: this.#object.sessionId, what: "search", traceId } as const;
        return { spanIds: [...spanIds], nextCursor: segmentCursor(list, last) };
      }
      const text = this.#segments.text(id) ?? `${REQUEST_HEAD}${REQUEST_END}`;
      add(text);
      length += text.length;
      last = id;
    }
    add(this.#segments.tailText() ?? `${REQUEST_HEAD}${REQUEST_END}`);
    for (const each of this.#open.ofTrace(traceId)) {
      add(`${REQUEST_HEAD}${this.#openGroup(each, () => undefined)}${REQUEST_END}`);
    }
    return { spanIds: [...spanIds] };
  }

  /**
   * Yields elements of `resourceSpans`. Reads the tail at once, since it may be folded while the rest is consumed.
   * @returns the cursor of the next page, if this one is full
   */
  *#groupsOf(traceId: string, open: readonly string[], after: number): Generator<string, string | undefined> {
    const tail = this.#segments.tailText();
    let [length, last] = [0, after];
    const isFull = () => length >= MAX_PAGE_LENGTH;
    const list = { sessionId: this.#object.sessionId, what: "trace", traceId } as const;
    for (const { id, isWhole } of this.#segments.index.holding(traceId, after)) {
      if (isFull()) return segmentCursor(list, last);
      const text = this.#segments.text(id) ?? `${REQUEST_HEAD}${REQUEST_END}`;
      if (isWhole) yield text.slice(REQUEST_HEAD.length, -REQUEST_END.length);
      else yield* groupsOfTrace(text, traceId);
      length += text.length;
      last = id;
    }
    if (isFull()) return segmentCursor(list, last);
    if (tail !== undefined) yield* groupsOfTrace(tail, traceId);
    yield* open;
    return undefined;
  }

  /**
   * Streams every ended span as lines of OTLP/JSON, one segment per line, as fast as the reader consumes them. Includes
   * spans that end meanwhile, and excludes those that are deleted meanwhile. A full page ends with a line without spans
   * and with `nextCursor`.
   * @param after the last segment of the previous page
   */
  spans(after = 0): ReadableStream<Uint8Array> {
    return streamOf(this.#lines(after));
  }

  *#lines(after: number): Generator<string, undefined> {
    let [cursor, length] = [after, 0];
    for (let next = this.#segments.textAfter(cursor); next !== undefined; next = this.#segments.textAfter(cursor)) {
      if (length >= MAX_PAGE_LENGTH) {
        yield `${fullPage(segmentCursor({ sessionId: this.#object.sessionId, what: "spans" }, cursor))}\n`;
        return;
      }
      cursor = next.id;
      length += next.text.length;
      yield `${next.text}\n`;
    }
    const tail = this.#segments.tailText();
    if (tail !== undefined) yield `${tail}\n`;
  }
}

/** Returns the later of two times; `undefined` when neither is known. */
function lastOf(aMs: number | undefined, bMs: number | undefined): number | undefined {
  return Math.max(aMs ?? 0, bMs ?? 0) || undefined;
}
