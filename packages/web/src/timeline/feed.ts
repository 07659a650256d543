/**
 * Reads and follows what the timeline shows of one session. Lists come first: they are enough for turns, waits, the lifecycle, tokens
 * and money. The spans of a trace are read when it can be seen (`want`). Events keep all of it up to date; however fast they come, the
 * picture is made anew only so often that it takes a small part of the time.
 */
import { decodeSkeleton, type SkeletonSpan } from "@valet/shared/protocol/skeleton-codec";
import type { Schemas } from "../api/client.ts";
import { isPassing } from "../api/problem.ts";
import { Reread } from "../api/reread.ts";
import type { SessionEvent } from "../api/session-events.ts";
import type { KnownTrace } from "./model.ts";

interface FeedReads {
  turns(onPage: (turns: readonly Schemas["TurnRecord"][]) => void, signal: AbortSignal): Promise<void>;
  traces(onPage: (traces: readonly Schemas["TraceSummaryView"][]) => void, signal: AbortSignal): Promise<void>;
  skeleton(traceId: string, after: string | undefined, signal: AbortSignal): Promise<Schemas["TraceSkeleton"]>;
  listen(listener: (event: SessionEvent) => void): () => void;
}

export interface FeedState {
  readonly traces: readonly KnownTrace[];
  readonly records: readonly Schemas["TurnRecord"][];
  /** Of messages that events told about. */
  readonly traceOf: (messageId: string) => string | undefined;
  /** Whether the lists have been read. */
  readonly isReady: boolean;
  /** Why the lists could not be read. */
  readonly error: unknown;
}

interface Trace {
  readonly traceId: string;
  summary: Schemas["TraceSummaryView"] | undefined;
  readonly spans: Map<string, SkeletonSpan>;
  /** For the next page of its skeleton. */
  after: string | undefined;
  state: "unread" | "reading" | "read" | "failed";
  /** Why its spans could not be read, the last time. */
  failure: unknown;
  /** The same until something of it changes. */
  known: KnownTrace | undefined;
}

/** Skeletons that are read at the same time. */
const PARALLEL = 4;
const SOCKET_STATES: readonly SessionEvent["type"][] = ["opened", "down", "gone"];
/** How long the lists wait for the session's socket, ms. */
const WAIT_FOR_SOCKET_MS = 1_500;
/** At least this long between two pictures, ms, and at least so many times as long as a picture takes. */
const PICTURE_MS = 100;
const PICTURE_SHARE = 10;

export class TimelineFeed {
  readonly #reads: FeedReads;
  readonly #traces = new Map<string, Trace>();
  readonly #records = new Map<string, Schemas["TurnRecord"]>();
  readonly #messageTraces = new Map<string, string>();
  readonly #listeners = new Set<() => void>();
  readonly #again = new Reread(() => this.#readAgain());
  /** Whether something failed that may pass: until the retry nothing new is begun, since it would fail as well. */
  #isPausing = false;
  #wanted: readonly string[] = [];
  #reading = 0;
  #stop = new AbortController();
  #stopListening: (() => void) | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #waiting: ReturnType<typeof setTimeout> | undefined;
  #hasBegun = false;
  #pictureMs = 0;
  #isReady = false;
  #error: unknown;
  #state: FeedState;

  constructor(reads: FeedReads) {
    this.#reads = reads;
    this.#state = this.#picture();
  }

  /** For `useSyncExternalStore`: the first listener starts the feed, the last one ends it. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    if (this.#listeners.size === 1) this.#start();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.#end();
    };
  };

  readonly read = (): FeedState => this.#state;

  /** Says how long a picture took, ms. */
  tookMs(ms: number): void {
    this.#pictureMs = ms;
  }

  /** Reads the spans of these traces, the first ones first. Earlier wishes are forgotten. */
  readonly want = (traceIds: readonly string[]): void => {
    const before = new Set(this.#wanted);
    for (const traceId of traceIds) {
      const trace = this.#traces.get(traceId);
      // The retries end without what is out of sight, so it is tried anew when it comes back.
      if (trace?.state === "failed" && !before.has(traceId)) trace.state = "unread";
    }
    this.#wanted = traceIds;
    this.#readNext();
  };

  /** Reads the lists again, and the spans that could not be read. */
  readonly retry = (): void => {
    this.#resume();
    void this.#readLists();
  };

  /** Reads again by itself what could not be read. The lists only if they are part of it: they may be long. */
  #readAgain(): void {
    if (this.#error !== undefined) return this.retry();
    this.#resume();
    this.#readNext();
    // What could not be read may have gone out of sight.
    this.#settle();
  }

  #resume(): void {
    this.#isPausing = false;
    for (const trace of this.#traces.values()) if (trace.state === "failed") trace.state = "unread";
  }

  /** All that fails until the retry is one outage, and counts as one failure. */
  #failed(error: unknown): void {
    if (this.#isPausing && isPassing(error)) return;
    this.#isPausing = isPassing(error);
    this.#again.failed(error);
  }

  #succeeded(): void {
    this.#isPausing = false;
    this.#again.succeeded();
  }

  #start(): void {
    this.#stop = new AbortController();
    this.#hasBegun = false;
    this.#stopListening = this.#reads.listen(this.#onEvent);
    this.#waiting = setTimeout(this.#begin, WAIT_FOR_SOCKET_MS);
  }

  /** Reads the lists once the socket is open, so that nothing happens unseen in between; without a socket after a moment. */
  readonly #begin = (): void => {
    clearTimeout(this.#waiting);
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    // Also the spans that could not be read the last time somebody looked: the retries ended then.
    this.retry();
  };

  #end(): void {
    this.#stop.abort();
    this.#succeeded();
    this.#stopListening?.();
    clearTimeout(this.#waiting);
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  async #readLists(): Promise<void> {
    const { signal } = this.#stop;
    this.#error = undefined;
    try {
      await Promise.all([
        this.#reads.turns((turns) => {
          for (const turn of turns) this.#records.set(turn.attempt_id, turn);
          this.#changed();
        }, signal),
        this.#reads.traces((traces) => {
          for (const summary of traces) this.#takeSummary(summary);
          this.#changed();
        }, signal),
      ]);
      this.#isReady = true;
      this.#readNext();
      this.#settle();
    } catch (error) {
      if (signal.aborted) return;
      this.#error = error;
      if (this.#isReady) this.#failed(error);
    }
    this.#changed();
  }

  #takeSummary(summary: Schemas["TraceSummaryView"]): void {
    const trace = this.#traceOf(summary.traceId);
    const before = trace.summary;
    // What has not changed keeps its spans.
    const isSame =
      before !== undefined && before.spans === summary.spans && before.openSpans === 0 && summary.openSpans === 0;
    trace.summary = summary;
    trace.known = undefined;
    if (!isSame && trace.state === "read") trace.state = "unread";
  }

  #traceOf(traceId: string): Trace {
    const trace = this.#traces.get(traceId) ?? {
      traceId,
      summary: undefined,
      spans: new Map(),
      after: undefined,
      state: "unread",
      failure: undefined,
      known: undefined,
    };
    this.#traces.set(traceId, trace);
    return trace;
  }

  #readNext(): void {
    if (this.#stop.signal.aborted || this.#isPausing) return;
    const unread = this.#wanted.flatMap((traceId) => {
      const trace = this.#traces.get(traceId);
      return trace?.state === "unread" ? [trace] : [];
    });
    // Those that failed come last: some may always fail, and must not keep the others waiting.
    unread.sort((a, b) => Number(a.failure !== undefined) - Number(b.failure !== undefined));
    for (const trace of unread) {
      if (this.#reading >= PARALLEL) return;
      trace.state = "reading";
      this.#reading += 1;
      void this.#readTrace(trace, this.#stop.signal).finally(() => {
        this.#reading -= 1;
        this.#readNext();
      });
    }
  }

  async #readTrace(trace: Trace, signal: AbortSignal): Promise<void> {
    try {
      for (;;) {
        const open = openIn(trace.spans);
        const page = await this.#reads.skeleton(trace.traceId, trace.after, signal);
        trace.after = page.next;
        const told = page.chunks.flatMap(decodeSkeleton);
        this.#takeSpans(trace, told);
        if (page.isComplete) {
          // It has all open spans: one that it lacks has lost its end.
          const ids = new Set(told.map(({ spanId }) => spanId));
          this.#loseSpans(
            trace,
            open.filter((id) => !ids.has(id)),
          );
        }
        this.#changed();
        if (page.isComplete) break;
      }
      trace.state = "read";
      trace.failure = undefined;
    } catch (error) {
      // Without its spans the turn still shows.
      trace.state = signal.aborted ? "unread" : "failed";
      if (signal.aborted) return;
      trace.failure = error;
      if (isPassing(error)) return this.#failed(error);
    }
    this.#settle();
  }

  /** Ends the retries once nothing is left that could not be read. */
  #settle(): void {
    const isLeft = this.#wanted.some((id) => isPassing(this.#traces.get(id)?.failure));
    if (this.#error === undefined && !isLeft) this.#succeeded();
  }

  #takeSpans(trace: Trace, spans: readonly SkeletonSpan[]): void {
    for (const span of spans) {
      // An ended span stays so: a page may have been made before an event.
      if (span.endUs === undefined && trace.spans.get(span.spanId)?.endUs !== undefined) continue;
      trace.spans.set(span.spanId, span);
    }
    trace.known = undefined;
  }

  #loseSpans(trace: Trace, spanIds: readonly string[]): void {
    for (const id of spanIds) if (trace.spans.get(id)?.endUs === undefined) trace.spans.delete(id);
    trace.known = undefined;
  }

  readonly #onEvent = (event: SessionEvent): void => {
    if (event.type === "spans") {
      for (const { traceId, chunk, lost = [] } of event.traces) {
        const trace = this.#traceOf(traceId);
        this.#takeSpans(trace, decodeSkeleton(chunk));
        this.#loseSpans(trace, lost);
      }
      this.#readNext();
    } else if (event.type === "turn") this.#records.set(event.turn.attempt_id, event.turn);
    else if (event.type === "message" && event.message.traceId !== undefined) {
      this.#messageTraces.set(event.message.id, event.message.traceId);
    } else {
      if (event.type === "opened" && this.#hasBegun) this.retry();
      else if (SOCKET_STATES.includes(event.type)) this.#begin();
      return;
    }
    this.#changed();
  };

  #changed(): void {
    if (this.#timer !== undefined || this.#listeners.size === 0) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        this.#state = this.#picture();
        for (const listener of this.#listeners) listener();
      },
      Math.max(PICTURE_MS, this.#pictureMs * PICTURE_SHARE),
    );
  }

  #picture(): FeedState {
    const traces = [...this.#traces.values()].map((trace) => {
      trace.known ??= {
        traceId: trace.traceId,
        summary: trace.summary,
        spans: [...trace.spans.values()].sort((a, b) => a.startUs - b.startUs),
      };
      return trace.known;
    });
    return {
      traces,
      records: [...this.#records.values()],
      traceOf: (messageId) => this.#messageTraces.get(messageId),
      isReady: this.#isReady,
      error: this.#error,
    };
  }
}

function openIn(spans: ReadonlyMap<string, SkeletonSpan>): string[] {
  return Array.from(spans.values()).flatMap(({ spanId, endUs }) => (endUs === undefined ? [spanId] : []));
}
