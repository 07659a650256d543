/**
 * Spans of several traces by their ids, parents and links. Spans come from sandboxes too, so a parent may be unknown or a
 * descendant of its own child; every walk ends. Pure.
 */
import type { LinkType } from "../../spans.ts";
import type { WhyJob, WhySpan } from "./spans.ts";

type SpanId = Pick<WhySpan, "traceId" | "spanId">;

/** A sub-agent's sub-agent has twenty ancestors. */
const MAX_DEPTH = 100;

/** A span, and what is known around it. */
interface Entry {
  readonly span: WhySpan;
  parent: Entry | undefined;
  /** Absent for none, as for most. */
  children?: WhySpan[];
  /** The spans that link to it. */
  linking?: WhySpan[];
}

export class SpanIndex {
  /** Each span once, in order of their start; of repeated ones an ended one, else the first. */
  readonly spans: readonly WhySpan[];
  readonly #traces = new Map<string, Map<string, Entry>>();
  /** Of `spans`: an object is found sooner than two texts. */
  readonly #entries: ReadonlyMap<SpanId, Entry>;

  constructor(spans: readonly WhySpan[]) {
    for (const span of spans) this.#enter(span);
    const entries = [...this.#traces.values()].flatMap((trace) => [...trace.values()]);
    entries.sort((a, b) => a.span.startMs - b.span.startMs);
    this.spans = entries.map(({ span }) => span);
    this.#entries = new Map(entries.map((entry) => [entry.span, entry]));
    for (const entry of entries) {
      const { span } = entry;
      entry.parent = span.parentId === null ? undefined : this.#traces.get(span.traceId)?.get(span.parentId);
      if (entry.parent !== undefined) push(entry.parent, "children", span);
      if (span.links.length === 0) continue;
      const targets = new Set(span.links.map((link) => this.#entry(link)));
      for (const target of targets) if (target !== undefined) push(target, "linking", span);
    }
  }

  #enter(span: WhySpan): void {
    const trace = this.#traces.get(span.traceId) ?? new Map<string, Entry>();
    this.#traces.set(span.traceId, trace);
    const known = trace.get(span.spanId)?.span;
    if (known !== undefined && (known.endMs !== null || span.endMs === null)) return;
    trace.set(span.spanId, { span, parent: undefined });
  }

  #entry(id: SpanId): Entry | undefined {
    return this.#entries.get(id) ?? this.#traces.get(id.traceId)?.get(id.spanId);
  }

  find(id: SpanId): WhySpan | undefined {
    return this.#entry(id)?.span;
  }

  /** Returns the parent, if it is known. */
  parent(span: SpanId): WhySpan | undefined {
    return this.#entry(span)?.parent?.span;
  }

  /** Returns the children in order of their start. */
  children(span: SpanId): readonly WhySpan[] {
    return this.#entry(span)?.children ?? [];
  }

  /** Returns the spans that link to this one with a link of this type, in order of their start. */
  linking(span: SpanId, type: LinkType): readonly WhySpan[] {
    const linking = this.#entry(span)?.linking ?? [];
    return linking.filter(({ links }) => {
      return links.some((link) => link.type === type && link.spanId === span.spanId && link.traceId === span.traceId);
    });
  }

  /** Returns the known ancestors, the nearest first; of a tree that is deeper than any of Valet's, not all. */
  ancestors(span: WhySpan): readonly WhySpan[] {
    const found: WhySpan[] = [];
    let at = this.#entry(span)?.parent;
    while (at !== undefined && at.span !== span && found.length < MAX_DEPTH && !found.includes(at.span)) {
      found.push(at.span);
      at = at.parent;
    }
    return found;
  }

  /**
   * Returns spans with all that is below them, each once, in order of their start.
   * @param enters whether to enter a child and what is below it
   */
  below(tops: readonly WhySpan[], enters: (child: WhySpan) => boolean = () => true): readonly WhySpan[] {
    const found = new Set(tops);
    // A set that grows while it is walked is walked to its end.
    for (const span of found) for (const child of this.children(span)) if (enters(child)) found.add(child);
    return [...found].toSorted((a, b) => a.startMs - b.startMs);
  }
}

function push(entry: Entry, list: "children" | "linking", span: WhySpan): void {
  const known = entry[list];
  if (known === undefined) entry[list] = [span];
  else known.push(span);
}

/** Returns whether the span is that of a job: a message or a workflow, from its acceptance to its outcome. */
export function isJobSpan({ name }: WhySpan): boolean {
  return name === "valet.prompt" || name === "valet.workflow";
}

/** Returns the spans of the job itself: one, none if it is not known. */
export function jobSpans(index: SpanIndex, job: WhyJob): readonly WhySpan[] {
  const [name, key] =
    job.kind === "message" ? ["valet.prompt", "valet.message.id"] : ["valet.workflow", "valet.workflow.execution.id"];
  return index.spans.filter(
    (span) => span.name === name && span.attributes[key] === job.id && span.sessionId === job.sessionId,
  );
}

/**
 * Returns the spans of a job's own work, in order of their start: its span, all below it, and the dispatches of batches that contain
 * it. Other jobs may be below it, as the messages that a workflow's command sent: they are left out.
 */
export function ownSpans(index: SpanIndex, job: WhyJob): readonly WhySpan[] {
  const own = jobSpans(index, job);
  const batches = own.flatMap((span) => index.linking(span, "collected"));
  return index.below([...own, ...batches], (child) => !isJobSpan(child));
}
