/**
 * Spans of several traces by their ids, parents and links. Spans come from sandboxes too, so a parent may be unknown or a
 * descendant of its own child; every walk ends. Pure.
 */
import type { LinkType } from "../../spans.ts";
import type { WhyJob, WhySpan } from "./spans.ts";

type SpanId = Pick<WhySpan, "traceId" | "spanId">;

const keyOf = ({ traceId, spanId }: SpanId) => `${traceId} ${spanId}`;

/** A sub-agent's sub-agent has twenty ancestors. */
const MAX_DEPTH = 100;

export class SpanIndex {
  /** Each span once, in order of their start; of repeated ones an ended one, else the first. */
  readonly spans: readonly WhySpan[];
  readonly #known = new Map<string, WhySpan>();
  readonly #children = new Map<string, WhySpan[]>();
  readonly #linking = new Map<string, WhySpan[]>();

  constructor(spans: readonly WhySpan[]) {
    for (const span of spans) {
      const known = this.#known.get(keyOf(span));
      if (known === undefined || (known.endMs === null && span.endMs !== null)) this.#known.set(keyOf(span), span);
    }
    this.spans = [...this.#known.values()].toSorted((a, b) => a.startMs - b.startMs);
    for (const span of this.spans) {
      if (span.parentId !== null) add(this.#children, keyOf({ traceId: span.traceId, spanId: span.parentId }), span);
      for (const target of new Set(span.links.map(keyOf))) add(this.#linking, target, span);
    }
  }

  find(id: SpanId): WhySpan | undefined {
    return this.#known.get(keyOf(id));
  }

  /** Returns the children in order of their start. */
  children(span: SpanId): readonly WhySpan[] {
    return this.#children.get(keyOf(span)) ?? [];
  }

  /** Returns the spans that link to this one with a link of this type, in order of their start. */
  linking(span: SpanId, type: LinkType): readonly WhySpan[] {
    const key = keyOf(span);
    const linking = this.#linking.get(key) ?? [];
    return linking.filter(({ links }) => links.some((link) => link.type === type && keyOf(link) === key));
  }

  /** Returns the known ancestors, the nearest first; of a tree that is deeper than any of Valet's, not all. */
  ancestors(span: WhySpan): readonly WhySpan[] {
    const found = new Set<WhySpan>();
    let at: WhySpan | undefined = span;
    while (at !== undefined && at.parentId !== null && found.size < MAX_DEPTH) {
      at = this.find({ traceId: at.traceId, spanId: at.parentId });
      if (at === undefined || at === span || found.has(at)) break;
      found.add(at);
    }
    return [...found];
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

function add(map: Map<string, WhySpan[]>, key: string, span: WhySpan): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [span]);
  else list.push(span);
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
