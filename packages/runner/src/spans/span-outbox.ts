/**
 * Spans on their way to the session's store: kept, in memory and on disk, until the SessionAgent has acknowledged them. Those that
 * are open for a while go along with those that have ended, in the same numbered frames.
 */
import { type FromRunnerOf, MAX_LINK_FRAME_BYTES } from "@valet/shared/protocol/runner-link";
import {
  type DropReason,
  encodeResource,
  encodeScope,
  encodeSpan,
  type ReadableSpan,
  type Resource,
  type SpanProcessor,
} from "@valet/shared/tracing";
import { OpenSpans } from "./open-spans.ts";
import { deleteLeftLog, type LeftLog, type LoggedFrame, type LoggedSpan, readLeftLogs, SpanLog } from "./span-log.ts";

/** A span frame as the link takes it, without its type. */
export type SpanFrame = Omit<FromRunnerOf<"spans">, "type">;
/** What attempts have come to so far. */
export type Progress = NonNullable<SpanFrame["progress"]>;

export interface SpanOutboxOptions {
  /** Where spans lie until they are acknowledged; outside of the workspace, and the same for each instance of a sandbox. */
  readonly folder: string;
  readonly instanceId: string;
  readonly resource: Resource;
  readonly maxFrameSpans?: number;
  /** How long a span may wait for others to go with it: there are no more frames than one in this time, unless they are full. */
  readonly frameDelayMs?: number;
  readonly openSpans?: OpenSpans;
  /** The most that is kept, in bytes of JSON text; the oldest that is not on its way is dropped first. */
  readonly maxBytes?: number;
  /** Told of losses when the way is free again, so that a span that tells of them is not lost likewise. */
  readonly onDropped?: (counts: ReadonlyMap<DropReason, number>) => void;
  /** Told once when the disk fails: what is sent is not affected, but nothing survives the process any more. */
  readonly onDiskError?: (error: unknown) => void;
}

interface Frame extends LoggedFrame {
  readonly instanceId: string;
  readonly resource: string;
  readonly spans: LoggedSpan[];
  open: readonly string[];
  progress: Progress;
  bytes: number;
}

/** Frames that may be on their way unacknowledged: enough to fill the link, few enough to repeat after it broke. */
const MAX_FRAMES_IN_FLIGHT = 32;
/** A frame is closed at this size, far enough below the link's limit that one more field never breaks it. */
const FRAME_BYTES = MAX_LINK_FRAME_BYTES / 2;
const MAX_SPAN_BYTES = MAX_LINK_FRAME_BYTES - 16 * 1024;

export class SpanOutbox implements SpanProcessor {
  readonly #options: Required<Omit<SpanOutboxOptions, "onDropped" | "onDiskError" | "openSpans">> & SpanOutboxOptions;
  readonly #openSpans: OpenSpans;
  readonly #resource: string;
  readonly #dropped = new Map<DropReason, number>();
  #log: SpanLog | undefined;
  /** Frames that are needed no more and are still on disk. */
  readonly #forgotten = new Set<number>();
  /** Closed and unacknowledged, in order; what earlier instances left comes first. */
  #frames: Frame[] = [];
  /** How many of them have been sent over this connection. */
  #sent = 0;
  #open: Frame | undefined;
  #nextSeq = 1;
  #bytes = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #send: ((frame: SpanFrame) => boolean) | undefined;
  #isEnabled = true;
  readonly #waiters = new Set<() => void>();
  #progress: () => Progress = () => [];
  /** What earlier instances had open when they died. */
  #left: LeftLog[];

  constructor(options: SpanOutboxOptions) {
    this.#options = { maxFrameSpans: 50, frameDelayMs: 500, maxBytes: 16 * 1024 * 1024, ...options };
    this.#openSpans = options.openSpans ?? new OpenSpans();
    this.#resource = encodeResource(options.resource);
    this.#left = readLeftLogs(options.folder);
    for (const { instanceId, resource, frames, open, brokenSpans } of this.#left) {
      const nothing = { open: [], progress: [], bytes: 0 };
      for (const { seq, spans } of frames) this.#enqueue({ instanceId, resource, seq, spans: [...spans], ...nothing });
      this.#count("shutdown", brokenSpans);
      if (frames.length === 0 && open.length === 0) deleteLeftLog(options.folder, instanceId);
    }
    this.#onDisk(() => {
      this.#log = new SpanLog(options.folder, options.instanceId, this.#resource);
    });
  }

  onStart(span: ReadableSpan): void {
    if (!this.#isEnabled) return;
    this.#openSpans.begun(span);
    this.#arm();
  }

  /** Something came from what the span waits for. @param atMs epoch ms */
  heard(spanId: string, atMs: number): void {
    this.#openSpans.heard(spanId, atMs);
    this.#arm();
  }

  /** @param progress asked with each frame what has changed since it was asked last */
  onProgress(progress: () => Progress): void {
    this.#progress = progress;
  }

  /**
   * Takes what earlier instances had open when they died, once. Whatever `end` ends of it is on disk when it returns, and only
   * then are their files removed.
   * @param end gets a span as `serialiseSpan` writes it, and when its runner last wrote anything, epoch ms
   */
  endLeftOpen(end: (span: string, lastWriteMs: number) => void): void {
    const left = this.#left;
    this.#left = [];
    for (const { instanceId, open, frames, lastWriteMs } of left) {
      for (const span of open) end(span, lastWriteMs);
      if (open.length > 0 && frames.length === 0) this.#onDisk(() => deleteLeftLog(this.#options.folder, instanceId));
    }
  }

  /** Keeps the span: once this returns, it survives the process. */
  onEnd(span: ReadableSpan): void {
    const { spanId } = span.context;
    this.#openSpans.ended(spanId);
    if (!this.#isEnabled) return;
    const entry = { scope: encodeScope(span.scope), span: encodeSpan(span) };
    const bytes = bytesOf(entry);
    if (bytes > MAX_SPAN_BYTES) {
      this.#count("too_large", 1);
      this.#onDisk(() => this.#log?.forgetOpen(spanId));
      return;
    }
    if (this.#open !== undefined && this.#open.bytes + bytes > FRAME_BYTES) this.flush();
    if (this.#open === undefined) {
      this.#open = this.#newFrame();
      this.#arm();
    }
    const frame = this.#open;
    frame.spans.push(entry);
    frame.bytes += bytes;
    this.#onDisk(() => this.#log?.append(frame.seq, spanId, entry));
    // Whoever finds this one on disk must find what it hangs below.
    for (const parent of this.#openSpans.above(span.parent?.spanId)) {
      this.#onDisk(() => this.#log?.appendOpen(parent));
    }
    if (frame.spans.length >= this.#options.maxFrameSpans) this.flush();
  }

  /** Closes the frame that is being filled and sends it, where there is a link: at the end of a turn, before anything else ends. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    // Beside a span that fills the frame alone there is no room; then they go with the next one.
    const hasRoom = this.#isEnabled && (this.#open?.bytes ?? 0) <= FRAME_BYTES;
    const open = hasRoom ? this.#openSpans.take() : [];
    const frame = this.#open ?? (open.length > 0 ? this.#newFrame() : undefined);
    this.#open = undefined;
    if (frame !== undefined) {
      frame.open = open.map(({ text }) => text);
      frame.progress = this.#progress();
      for (const span of open) {
        frame.bytes += textBytes(span.text);
        this.#onDisk(() => this.#log?.appendOpen(span));
      }
      this.#enqueue(frame);
      this.#pump();
    }
    this.#arm();
  }

  #newFrame(): Frame {
    const { instanceId } = this.#options;
    return {
      instanceId,
      resource: this.#resource,
      seq: this.#nextSeq++,
      spans: [],
      open: [],
      progress: [],
      bytes: 0,
    };
  }

  /** Sees to it that what waits to be told is told in time. */
  #arm(): void {
    if (this.#timer !== undefined || !this.#isEnabled) return;
    const dueMs = this.#open === undefined ? this.#openSpans.dueInMs() : 0;
    if (dueMs === undefined) return;
    this.#timer = setTimeout(() => this.flush(), Math.max(dueMs, this.#options.frameDelayMs));
  }

  /** The session does not record spans: what is here is of no use and nothing more is taken. */
  disable(): void {
    this.#isEnabled = false;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#open = undefined;
    this.#remove(() => true);
  }

  /**
   * Sends what is unacknowledged, from the oldest, and from then on what comes.
   * @param send returns false when the frame did not go out
   */
  connect(send: (frame: SpanFrame) => boolean): void {
    this.#send = send;
    this.#sent = 0;
    this.#pump();
  }

  disconnect(): void {
    this.#send = undefined;
    this.#sent = 0;
  }

  /** The frames of this instance up to and with `seq` are durable. What was never sent cannot be, whatever the peer says. */
  acknowledge(instanceId: string, seq: number): void {
    const isAcknowledged = (frame: Frame, index: number) =>
      index < this.#sent && frame.instanceId === instanceId && frame.seq <= seq;
    this.#remove(isAcknowledged);
    if (this.#dropped.size > 0) {
      const counts = new Map(this.#dropped);
      this.#dropped.clear();
      this.#options.onDropped?.(counts);
    }
    this.#pump();
  }

  get isEmpty(): boolean {
    return this.#frames.length === 0 && this.#open === undefined;
  }

  /** Resolves with true once everything is acknowledged, with false after `timeoutMs`. */
  whenEmpty(timeoutMs: number): Promise<boolean> {
    if (this.isEmpty) return Promise.resolve(true);
    return new Promise((resolve) => {
      const settle = (isEmpty: boolean) => {
        clearTimeout(timer);
        this.#waiters.delete(onEmpty);
        resolve(isEmpty);
      };
      const onEmpty = () => settle(true);
      const timer = setTimeout(() => settle(false), timeoutMs);
      this.#waiters.add(onEmpty);
    });
  }

  /** Lets go of the disk. What is unacknowledged stays there for the next instance. */
  close(): void {
    this.flush();
    clearTimeout(this.#timer);
    this.disconnect();
    this.#isEnabled = false;
    const isEmpty = !this.#frames.some(({ instanceId }) => instanceId === this.#options.instanceId);
    this.#onDisk(() => this.#log?.close(isEmpty));
    this.#log = undefined;
  }

  #enqueue(frame: Frame): void {
    if (frame.bytes === 0) for (const span of frame.spans) frame.bytes += bytesOf(span);
    this.#frames.push(frame);
    this.#bytes += frame.bytes;
    while (this.#bytes > this.#options.maxBytes && this.#frames.length > 1) {
      const victim = this.#frames[Math.min(this.#sent, this.#frames.length - 1)]!;
      this.#count("queue_full", victim.spans.length);
      this.#remove((each) => each === victim);
    }
  }

  #pump(): void {
    while (this.#send !== undefined && this.#sent < Math.min(this.#frames.length, MAX_FRAMES_IN_FLIGHT)) {
      const { instanceId, seq, resource, spans, open, progress } = this.#frames[this.#sent]!;
      // Counted before it is sent: the answer may come while `send` has not returned.
      this.#sent++;
      const isSent = this.#send({
        instanceId,
        seq,
        otlp: encodeFrame(resource, spans),
        ...(open.length > 0 && { open: [...open] }),
        ...(progress.length > 0 && { progress }),
      });
      if (isSent) continue;
      this.disconnect();
    }
  }

  #remove(isGone: (frame: Frame, index: number) => boolean): void {
    const gone = new Set(this.#frames.filter(isGone));
    if (gone.size > 0) {
      this.#sent -= this.#frames.slice(0, this.#sent).filter((frame) => gone.has(frame)).length;
      this.#frames = this.#frames.filter((frame) => !gone.has(frame));
      for (const { bytes } of gone) this.#bytes -= bytes;
      this.#forgetOnDisk([...gone]);
    }
    if (this.isEmpty) for (const waiter of [...this.#waiters]) waiter();
  }

  #forgetOnDisk(gone: readonly Frame[]): void {
    const { folder, instanceId: own } = this.#options;
    for (const instanceId of new Set(gone.map((frame) => frame.instanceId))) {
      const left = this.#frames.some((frame) => frame.instanceId === instanceId);
      if (instanceId !== own && !left) this.#onDisk(() => deleteLeftLog(folder, instanceId));
    }
    for (const { instanceId, seq } of gone) if (instanceId === own) this.#forgotten.add(seq);
    try {
      this.#log?.forget([...this.#forgotten]);
      this.#forgotten.clear();
    } catch {
      // A full disk refuses this, too. What stays would only be delivered twice, and the next one tries again.
    }
  }

  #count(reason: DropReason, spans: number): void {
    if (spans > 0) this.#dropped.set(reason, (this.#dropped.get(reason) ?? 0) + spans);
  }

  /** A disk that is full or gone must not end the agent's work. */
  #onDisk(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#log = undefined;
      this.#options.onDiskError?.(error);
    }
  }
}

function encodeFrame(resource: string, spans: readonly LoggedSpan[]): string {
  if (spans.length === 0) return `{"resourceSpans":[]}`;
  const scopes = new Map<string, string[]>();
  for (const { scope, span } of spans) {
    const group = scopes.get(scope);
    if (group === undefined) scopes.set(scope, [span]);
    else group.push(span);
  }
  const scopeSpans = [...scopes].map(([scope, group]) => `{"scope":${scope},"spans":[${group.join(",")}]}`);
  return `{"resourceSpans":[{"resource":${resource},"scopeSpans":[${scopeSpans.join(",")}]}]}`;
}

/** As the frame carries it: JSON text within JSON text. */
function bytesOf({ scope, span }: LoggedSpan): number {
  return textBytes(span) + scope.length;
}

function textBytes(text: string): number {
  return Buffer.byteLength(JSON.stringify(text));
}
