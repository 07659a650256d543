import { encodeSkeleton, type SkeletonSpan } from "@valet/shared/protocol/skeleton-codec";
import { expect, test, vi } from "vitest";
import type { Schemas } from "../api/client.ts";
import type { SessionEvent } from "../api/session-events.ts";
import { TimelineFeed } from "./feed.ts";

const TRACE = "a".repeat(32);
const WAIT = { timeout: 10_000, interval: 5 };

function span(id: number, endUs?: number): SkeletonSpan {
  const spanId = id.toString(16).padStart(16, "0");
  return { spanId, name: `span ${id}`, kind: 1, startUs: id, endUs, isError: false, isSealed: false, links: [] };
}

const chunkOf = (spans: readonly SkeletonSpan[] = []) => encodeSkeleton(spans) as Schemas["SkeletonChunk"];

/** A feed of one trace, of which Valet gives these answers, the last one again and again. */
function feedOf(...answers: SkeletonSpan[][]) {
  let tell: (event: SessionEvent) => void = () => {};
  const summary = { traceId: TRACE, startedAt: "", duration_ms: 1, spans: 0, openSpans: 1, errors: 0 };
  const feed = new TimelineFeed({
    turns: async () => {},
    traces: async (onPage) => onPage([summary]),
    skeleton: async () => {
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      return { chunks: [chunkOf(answer)], next: "n", isComplete: true };
    },
    listen: (listener) => {
      tell = listener;
      return () => {};
    },
  });
  const stop = feed.subscribe(() => {});
  feed.want([TRACE]);
  const shows = (...ids: number[]) =>
    vi.waitFor(() => {
      const [trace] = feed.read().traces;
      expect(trace?.spans.map(({ startUs }) => startUs)).toEqual(ids);
    }, WAIT);
  return { shows, stop, tell: (event: SessionEvent) => tell(event) };
}

test("an open span whose end is lost is no longer there, whether an event or the next answer tells of it", async () => {
  const { shows, stop, tell } = feedOf([span(1), span(2), span(3, 5)], [span(3, 5)]);
  tell({ type: "opened" } as SessionEvent);
  await shows(1, 2, 3);
  const lost = [1, 3].map((id) => span(id).spanId);
  tell({ type: "spans", traces: [{ traceId: TRACE, chunk: chunkOf(), lost }] } as SessionEvent);
  await shows(2, 3);
  tell({ type: "opened" } as SessionEvent);
  await shows(3);
  stop();
});
