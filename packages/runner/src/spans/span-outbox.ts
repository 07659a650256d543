/**
 * Sends spans to the session's store, and keeps them in memory and on disk until the SessionAgent has acknowledged them.
 * Numbered frames contain ended spans, and spans that have been open for a while.
 */

import type { Heard } from "@valet/shared/heard";
import { MAX_LINK_FRAME_BYTES } from "@valet/shared/protocol/runner-link";
import { nameSpans, type SpanFrame, spansNamed } from "@valet/shared/protocol/span-frame";
import {
  type DropReason,
  encodeResource,
  encodeScope,
  encodeSpan,
  type ReadableSpan,
  type Resource,
  type SpanProcessor,
} from "@valet/shared/tracing";
import { bytesOf, textBytes } from "./frame-text.ts";
import { OpenSpans } from "./open-spans.ts";
import { type Frame, idsOf, type Lost, type SpanIds, toSpanFrame } from "./outbox-frame.ts";
import { deleteLeftLog, type LeftLog, type LoggedSpan, readLeftLogs, SpanLog } from "./span-log.ts";

/** The summaries of running attempts so far. */
export type Progress = NonNullable<SpanFrame["progress"]>;

export interface SpanOutboxOptions {
  /** The folder of the logs, outside the workspace. All runner instances of a sandbox use the same one. */
  readonly folder: string;
  readonly instanceId: string;
  readonly resource: Resource;
  readonly maxFrameSpans?: number;
  /** How long a span waits for others to share its frame. At most one frame is sent in this time, unless frames are full. */
  readonly frameDelayMs?: number;
  readonly openSpans?: OpenSpans;
  /** The maximum size of all spans, in bytes of JSON text. The oldest frame that has not been sent is dropped first. */
  readonly maxBytes?: number;
  /** Called with losses after the next acknowledgement, since a span that reports them earlier might be lost, too. */
  readonly onDropped?: (counts: ReadonlyMap<DropReason, number>) => void;
  /** Called once when the disk fails. Spans are still sent, but those not acknowledged do not survive the process. */
  readonly onDiskError?: (error: unknown) => void;
}

/** The maximum number of unacknowledged frames on the link: enough to fill it, few enough to resend after it broke. */
const MAX_FRAMES_IN_FLIGHT = 32;
/** A frame is closed at this size, which is far enough below the link's limit for the frame's other fields. */
const FRAME_BYTES = MAX_LINK_FRAME_BYTES / 2;
/** More than everything in a frame besides its spans: the resource, summaries of other attempts, the names of fields. */
const MAX_REST_BYTES = 64 * 1024;
/** How many lost spans are named for each reason, 17 bytes each. The others are only counted. */
const MAX_NAMED = 300;
const MAX_SPAN_BYTES = MAX_LINK_FRAME_BYTES - 16 * 1024;
/** The share of the room that may be taken when a span of another program arrives. */
const FOREIGN_SHARE = 0.25;

export class SpanOutbox implements SpanProcessor {
  readonly #options: Required<Omit<SpanOutboxOptions, "onDropped" | "onDiskError" | "openSpans">> & SpanOutboxOptions;
  readonly #openSpans: OpenSpans;
  readonly #resource: string;
  readonly #dropped = new Map<DropReason, number>();
  /** Lost spans that no frame has named yet. */
  readonly #unsaid = new Map<DropReason, readonly SpanIds[]>();
  #log: SpanLog | undefined;
  #hasDiskFailed = false;
  /** Frames that are no longer needed but still on disk. */
  readonly #forgotten = new Set<number>();
  /** Closed, unacknowledged frames in order, those of earlier instances first. */
  #frames: Frame[] = [];
  /** How many of the frames have been sent over this connection. */
  #sent = 0;
  #open: Frame | undefined;
  #nextSeq = 1;
  #bytes = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #send: ((frame: SpanFrame) => boolean) | undefined;
  #isEnabled = true;
  readonly #waiters = new Set<() => void>();
  #progress: () => Progress = () => [];
  /** The logs of earlier instances, until their open spans are ended. */
  #left: LeftLog[];

  constructor(options: SpanOutboxOptions) {
    this.#options = { maxFrameSpans: 50, frameDelayMs: 500, maxBytes: 16 * 1024 * 1024, ...options };
    this.#openSpans = options.openSpans ?? new OpenSpans();
    this.#resource = encodeResource(options.resource);
    this.#left = readLeftLogs(options.folder);
    for (const { instanceId, resource, frames, open, brokenSpans } of this.#left) {
      const nothing = { open: [], progress: [], lost: [], bytes: 0 };
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

  /** Records progress of what the span waits for. @param atMs epoch ms */
  heard(spanId: string, atMs: number, what: Heard): void {
    this.#openSpans.heard(spanId, atMs, what);
    this.#arm();
  }

  /** @param progress called for each frame; returns what has changed since the last call */
  onProgress(progress: () => Progress): void {
    this.#progress = progress;
  }

  /**
   * Ends the spans that earlier instances had open when they died, once. Their files are removed only after `end` has ended the
   * spans, which stores them in this instance's log.
   * @param end receives a span as `serialiseSpan` writes it, and the last write of its runner, epoch ms
   */
  endLeftOpen(end: (span: string, lastWriteMs: number) => void): void {
    const left = this.#left;
    this.#left = [];
    for (const { instanceId, open, frames, lastWriteMs } of left) {
      for (const span of open) end(span, lastWriteMs);
      if (open.length > 0 && frames.length === 0) this.#onDisk(() => deleteLeftLog(this.#options.folder, instanceId));
    }
  }

  /** Stores the span. It survives the process once this returns. */
  onEnd(span: ReadableSpan): void {
    const { spanId } = span.context;
    this.#openSpans.ended(spanId);
    if (!this.#isEnabled) return;
    const entry = { scope: encodeScope(span.scope), span: encodeSpan(span) };
    if (bytesOf(entry) > MAX_SPAN_BYTES) {
      this.#count("too_large", 1, [span.context]);
      this.#onDisk(() => this.#log?.forgetOpen(spanId));
      return;
    }
    const frame = this.#append(spanId, entry);
    // A successor that finds this span on disk must also find its ancestors.
    for (const parent of this.#openSpans.above(span.parent?.spanId)) {
      this.#onDisk(() => this.#log?.appendOpen(parent));
    }
    this.#closeIfFull(frame);
  }

  /**
   * Stores ended spans of another program, which the runner has checked. They survive the process once this returns.
   * @param spans with their resources; each of at most some 100 KiB
   */
  adopt(spans: readonly (LoggedSpan & { readonly spanId: string })[]): void {
    if (!this.#isEnabled) return;
    let isDone = false;
    const append = () => {
      isDone = true;
      for (const { spanId, ...span } of spans) this.#closeIfFull(this.#append(spanId, span));
    };
    this.#onDisk(() => this.#log?.together(append));
    if (!isDone) append();
  }

  /** Whether spans of other programs have to wait: the room that is left is for the runner's own. */
  get isUnderPressure(): boolean {
    return this.#bytes + (this.#open?.bytes ?? 0) > this.#options.maxBytes * FOREIGN_SHARE;
  }

  #append(spanId: string, entry: LoggedSpan): Frame {
    const bytes = bytesOf(entry);
    if (this.#open !== undefined && this.#open.bytes + bytes > FRAME_BYTES) this.flush();
    if (this.#open === undefined) {
      this.#open = this.#newFrame();
      this.#arm();
    }
    const frame = this.#open;
    frame.spans.push(entry);
    frame.bytes += bytes;
    this.#onDisk(() => this.#log?.append(frame.seq, spanId, entry));
    return frame;
  }

  #closeIfFull(frame: Frame): void {
    if (frame.spans.length >= this.#options.maxFrameSpans) this.flush();
  }

  /** Closes the current frame and sends it if there is a link. */
  flush(): void {
    this.#closeFrame();
    this.#pump();
    this.#arm();
  }

  /**
   * Closes the current frame, at the end of an attempt. Returns it if it fits into the frame that reports the end; it then
   * counts as sent. Otherwise it is sent separately, like all earlier frames.
   * @param maxBytes the room in the frame that reports the end, as JSON text
   */
  flushInto(maxBytes: number): SpanFrame | undefined {
    const closed = this.#closeFrame();
    const isNext = closed !== undefined && this.#frames[this.#sent] === closed;
    // As text within JSON, quotes and backslashes take two bytes.
    const fits = closed !== undefined && 2 * closed.bytes + MAX_REST_BYTES <= maxBytes;
    const isCarried = this.#send !== undefined && isNext && fits && this.#sent < MAX_FRAMES_IN_FLIGHT;
    if (isCarried) this.#sent++;
    this.#pump();
    this.#arm();
    return isCarried ? toSpanFrame(closed) : undefined;
  }

  #closeFrame(): Frame | undefined {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    // A frame that a single large span fills has no room for open spans, which are then sent with the next one.
    const hasRoom = this.#isEnabled && (this.#open?.bytes ?? 0) <= FRAME_BYTES;
    const open = hasRoom ? this.#openSpans.take() : [];
    const frame = this.#open ?? (open.length > 0 ? this.#newFrame() : undefined);
    this.#open = undefined;
    if (frame === undefined) return undefined;
    frame.open = open.map(({ text }) => text);
    frame.progress = this.#progress();
    frame.lost = hasRoom ? this.#takeLost() : [];
    for (const span of open) {
      frame.bytes += textBytes(span.text);
      this.#onDisk(() => this.#log?.appendOpen(span));
    }
    this.#enqueue(frame);
    return frame;
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
      lost: [],
      bytes: 0,
    };
  }

  /** Schedules the next flush, if there is something to send. */
  #arm(): void {
    if (this.#timer !== undefined || !this.#isEnabled) return;
    const dueMs = this.#open === undefined ? this.#openSpans.dueInMs() : 0;
    if (dueMs === undefined) return;
    this.#timer = setTimeout(() => this.flush(), Math.max(dueMs, this.#options.frameDelayMs));
  }

  /** Discards all spans, present and future, since the session does not record any. */
  disable(): void {
    this.#isEnabled = false;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#open = undefined;
    this.#remove(() => true);
  }

  /**
   * Sends all unacknowledged frames, oldest first, and further frames as they are closed.
   * @param send returns false if the frame could not be sent
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

  /** Removes the instance's frames up to and including `seq`, which are durable. Keeps frames that were never sent. */
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

  /** Resolves to true once everything is acknowledged, to false after `timeoutMs`. */
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

  /** Closes the log. Unacknowledged spans stay on disk for the next instance. */
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
      this.#count("queue_full", victim.spans.length, victim.spans.flatMap(idsOf));
      // What it would have said of others is said by the next one.
      for (const { reason, ids } of victim.lost) this.#name(reason, spansNamed(ids));
      this.#remove((each) => each === victim);
    }
  }

  #pump(): void {
    while (this.#send !== undefined && this.#sent < Math.min(this.#frames.length, MAX_FRAMES_IN_FLIGHT)) {
      const frame = this.#frames[this.#sent]!;
      // Counted before it is sent, since the acknowledgement may arrive before `send` returns.
      this.#sent++;
      if (this.#send(toSpanFrame(frame))) continue;
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
      // A full disk refuses this, too. The frames that stay would at worst be sent twice, and the next removal tries again.
    }
  }

  /** @param which their ids, as far as they are known */
  #count(reason: DropReason, spans: number, which: readonly SpanIds[] = []): void {
    if (spans > 0) this.#dropped.set(reason, (this.#dropped.get(reason) ?? 0) + spans);
    this.#name(reason, which);
  }

  /** Has the next frame name spans that are lost. */
  #name(reason: DropReason, spans: readonly SpanIds[]): void {
    const known = this.#unsaid.get(reason) ?? [];
    if (spans.length > 0) this.#unsaid.set(reason, [...known, ...spans].slice(0, MAX_NAMED));
  }

  #takeLost(): Lost {
    const lost = [...this.#unsaid].map(([reason, spans]) => ({ reason, ids: nameSpans(spans) }));
    this.#unsaid.clear();
    return lost;
  }

  /** Reports errors of the disk instead of throwing, since a full disk must not end the agent's work. */
  #onDisk(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#log = undefined;
      if (!this.#hasDiskFailed) this.#options.onDiskError?.(error);
      this.#hasDiskFailed = true;
    }
  }
}
