import { encodeSkeleton, type SkeletonSpan } from "@valet/shared/protocol/skeleton-codec";
import { beforeEach, expect, onTestFinished, test, vi } from "vitest";
import type { Schemas } from "../api/client.ts";
import { ApiError } from "../api/problem.ts";
import { Reread, rereads } from "../api/reread.ts";
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

const AWAY = new ApiError("Away.", 503);
const EMPTY: Schemas["TraceSkeleton"] = { chunks: [], isComplete: true, next: "1" } as never;

let hear: (event: SessionEvent) => void = () => undefined;
const reads = {
  turns: vi.fn(async () => undefined),
  traces: vi.fn(async (onPage: (traces: readonly Schemas["TraceSummaryView"][]) => void) =>
    onPage([{ traceId: TRACE, spans: 1, openSpans: 0 } as Schemas["TraceSummaryView"]]),
  ),
  skeleton: vi.fn(async () => EMPTY),
  listen: (listener: (event: SessionEvent) => void) => {
    hear = listener;
    return () => undefined;
  },
};

beforeEach(() => vi.clearAllMocks());

/** Shows a timeline of a trace whose spans cannot be read at first. @returns what ends showing it */
async function failOnce(): Promise<() => void> {
  reads.skeleton.mockRejectedValueOnce(AWAY);
  const feed = new TimelineFeed(reads);
  const stop = feed.subscribe(() => undefined);
  feed.want([TRACE]);
  hear({ type: "opened", isAgain: false });
  await vi.waitFor(() => expect(rereads.read()).toBe(AWAY));
  return stop;
}

test("spans that could not be read are read again by themselves, and are known as missing meanwhile", async () => {
  const stop = await failOnce();
  await vi.waitFor(() => expect(reads.skeleton).toHaveBeenCalledTimes(2), 20_000);
  await vi.waitFor(() => expect(rereads.read()).toBeUndefined());
  stop();
});

test("lists that could not be read again after a break are read until they are there", async () => {
  const feed = new TimelineFeed(reads);
  const stop = feed.subscribe(() => undefined);
  hear({ type: "opened", isAgain: false });
  await vi.waitFor(() => expect(feed.read().isReady).toBe(true));
  reads.turns.mockRejectedValueOnce(AWAY);
  hear({ type: "opened", isAgain: true });
  await vi.waitFor(() => expect(rereads.read()).toBe(AWAY));
  await vi.waitFor(() => expect(reads.turns).toHaveBeenCalledTimes(3), 20_000);
  await vi.waitFor(() => expect(rereads.read()).toBeUndefined());
  stop();
});

test("nothing is read again for a timeline that nobody looks at", async () => {
  const stop = await failOnce();
  stop();
  expect(rereads.read()).toBeUndefined();
});

/** A feed of traces 0, 1, …, the newest first, whose skeletons a test answers; time stands still but for the test. */
function feedOfMany(count: number, skeleton: (traceId: string) => Promise<Schemas["TraceSkeleton"]>) {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const ids = Array.from({ length: count }, (_, at) => at.toString(16).padStart(32, "0"));
  const lists = vi.fn(async (onPage: (traces: readonly Schemas["TraceSummaryView"][]) => void) =>
    onPage(ids.map((traceId) => ({ traceId, spans: 1, openSpans: 0 }) as Schemas["TraceSummaryView"])),
  );
  const asked = vi.fn(skeleton);
  const feed = new TimelineFeed({ ...reads, traces: lists, skeleton: asked });
  const begin = async () => {
    const stop = feed.subscribe(() => undefined);
    hear({ type: "opened", isAgain: false });
    await vi.advanceTimersByTimeAsync(0);
    return stop;
  };
  return { feed, ids, lists, asked, begin };
}

test("for a trace that can never be read, only that trace is read again, and the others are read all the same", async () => {
  const bad = (traceId: string) => Number.parseInt(traceId, 16) < 4;
  const { feed, ids, lists, asked, begin } = feedOfMany(20, async (traceId) => {
    if (bad(traceId)) throw AWAY;
    return EMPTY;
  });
  feed.want(ids);
  const stop = await begin();
  await vi.advanceTimersByTimeAsync(120_000);
  expect(lists).toHaveBeenCalledTimes(1);
  const times = (id: string) => asked.mock.calls.filter(([traceId]) => traceId === id).length;
  for (const id of ids.slice(4)) expect(times(id)).toBe(1);
  expect(times(ids[0] ?? "")).toBeGreaterThan(4);
  stop();
  expect(rereads.read()).toBeUndefined();
});

test("in an outage no further trace is begun before the server wants it, and its failures count as one", async () => {
  let error: Error | undefined = new ApiError("Full.", 503, null, undefined, 60_000);
  const { feed, ids, asked, begin } = feedOfMany(20, async () => {
    if (error !== undefined) throw error;
    return EMPTY;
  });
  const failed = vi.spyOn(Reread.prototype, "failed");
  onTestFinished(() => failed.mockRestore());
  feed.want(ids);
  const stop = await begin();
  await vi.advanceTimersByTimeAsync(50_000);
  expect(asked).toHaveBeenCalledTimes(4);
  expect(failed).toHaveBeenCalledTimes(1);
  error = undefined;
  await vi.advanceTimersByTimeAsync(15_000);
  expect(asked).toHaveBeenCalledTimes(24);
  expect(rereads.read()).toBeUndefined();
  stop();
});

test("spans that could not be read are read again when they come back into sight, and when the timeline does", async () => {
  const gone = new ApiError("Broken.", 400);
  const { feed, ids, asked, begin } = feedOfMany(1, async () => Promise.reject(gone));
  feed.want(ids);
  const stop = await begin();
  feed.want([...ids]);
  await vi.advanceTimersByTimeAsync(0);
  expect(asked).toHaveBeenCalledTimes(1);
  feed.want([]);
  feed.want(ids);
  await vi.advanceTimersByTimeAsync(0);
  expect(asked).toHaveBeenCalledTimes(2);
  stop();
  const stopAgain = await begin();
  expect(asked).toHaveBeenCalledTimes(3);
  stopAgain();
});
