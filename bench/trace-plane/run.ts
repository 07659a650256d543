import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ToRunnerOf } from "../../packages/shared/src/protocol/runner-link.ts";
import { spansOfSkeleton } from "../../packages/shared/src/protocol/skeleton-codec.ts";
import type { TraceSkeleton } from "../../packages/shared/src/protocol/trace-skeleton.ts";
import { WhyView } from "../../packages/shared/src/protocol/why.ts";
import { OtlpReceiver, spansOf } from "../../packages/shared/test/otlp-receiver.ts";
import { startTracePlane } from "../../tests/trace-plane-process.ts";
import { FRAME_SPANS, type Load, SESSION_ID } from "./frames.ts";

/** The figures of one run of one contender. */
export interface Figures {
  readonly spansPerSecond: number;
  /** CPU time of workerd, including the export, in microseconds per span. */
  readonly cpuUs: number;
  /** Rows that the trace plane wrote until everything was exported, including alarms, per 50 spans. */
  readonly rows: number;
  /** POSTs per 50 spans. */
  readonly posts: number;
  /** From the request to the last byte of the trace's last page, in milliseconds. */
  readonly readMs: number;
  /** From the request to the last byte of the trace's skeleton, in milliseconds. */
  readonly skeletonMs: number;
  readonly skeletonBytes: number;
  /** From the request for the answer `why` about the message to its last byte, in milliseconds. */
  readonly whyMs: number;
}

/** The number of frames that the runner has in flight. */
const IN_FLIGHT = 32;

/**
 * Sends a load to a fresh object in a fresh workerd, waits until everything is exported, and reads it back. The first
 * fifth is warm-up, since objects live for days.
 */
export async function run(module: string, { frames, traceId }: Load, gather: boolean): Promise<Figures> {
  const directory = mkdtempSync(join(tmpdir(), "valet-bench-"));
  const receiver = await new OtlpReceiver().listen();
  const config = { sessionId: SESSION_ID, exportTimeoutMs: 10_000, segmentDelayMs: 5000, gather };
  const plane = await startTracePlane(module, directory, { ...config, exportUrl: `${receiver.url}/v1/traces` });
  try {
    const warmUp = Math.floor(frames.length / 5);
    await send(plane.webSocketUrl, frames, 0, warmUp);
    const cpuBefore = plane.cpuSeconds();
    const seconds = await send(plane.webSocketUrl, frames, warmUp, frames.length);
    await (await fetch(`${plane.url}/fold`)).body?.cancel();
    await untilExported(receiver, frames.length * FRAME_SPANS);
    const cpuSeconds = plane.cpuSeconds() - cpuBefore;
    const written = (await (await fetch(`${plane.url}/written`)).json()) as { rows: number; alarms: number };
    const started = performance.now();
    const pages = await readTrace(plane.url, traceId);
    const readMs = performance.now() - started;
    const found = pages.flatMap(spansOf).length;
    if (found !== frames.length * FRAME_SPANS) throw new Error(`the trace has ${found} spans`);
    const skeletonStarted = performance.now();
    const skeleton = await (await fetch(`${plane.url}/skeleton?id=${traceId}`)).text();
    const skeletonMs = performance.now() - skeletonStarted;
    const bones = spansOfSkeleton((JSON.parse(skeleton) as TraceSkeleton).chunks).length;
    if (bones !== found) throw new Error(`the skeleton has ${bones} of ${found} spans`);
    const whyStarted = performance.now();
    const answer = WhyView.parse(await (await fetch(`${plane.url}/why?id=${traceId}`)).json());
    const whyMs = performance.now() - whyStarted;
    const calls = answer.money.by.reduce((sum, row) => sum + row.calls, 0);
    if (Math.abs(calls - found / 2) > FRAME_SPANS) throw new Error(`the answer knows ${calls} model calls`);
    const measured = (frames.length - warmUp) * FRAME_SPANS;
    return {
      spansPerSecond: measured / seconds,
      cpuUs: (cpuSeconds * 1e6) / measured,
      rows: (written.rows + written.alarms) / frames.length,
      posts: receiver.deliveries.length / frames.length,
      readMs,
      skeletonMs,
      whyMs,
      skeletonBytes: Buffer.byteLength(skeleton),
    };
  } finally {
    await plane.kill();
    await receiver.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

/**
 * Sends the frames from index `from` to before `to`.
 * @returns seconds from the first frame to the acknowledgement of the last
 */
async function send(url: string, frames: readonly string[], from: number, to: number): Promise<number> {
  const socket = new WebSocket(url);
  await new Promise((resolve) => socket.addEventListener("open", resolve, { once: true }));
  const started = performance.now();
  await new Promise<void>((resolve, reject) => {
    let sent = from;
    const pump = (acknowledged: number) => {
      for (; sent < Math.min(acknowledged + IN_FLIGHT, to); sent++) socket.send(frames[sent] as string);
      if (acknowledged === to) resolve();
    };
    socket.addEventListener("message", ({ data }) => pump((JSON.parse(data) as ToRunnerOf<"spans-ack">).seq));
    socket.addEventListener("close", ({ code, reason }) => reject(new Error(`closed with ${code} ${reason}`)));
    pump(from);
  });
  const seconds = (performance.now() - started) / 1000;
  socket.close();
  return seconds;
}

/** Returns the trace's pages as text. */
async function readTrace(url: string, traceId: string): Promise<string[]> {
  const pages: string[] = [];
  for (let cursor: string | undefined = ""; cursor !== undefined; ) {
    const page = await (await fetch(`${url}/trace?id=${traceId}${cursor && `&cursor=${cursor}`}`)).text();
    pages.push(page);
    // At the page's end; parsing a page takes longer than reading it, and is not measured.
    cursor = /"nextCursor":"([^"]+)"\}$/.exec(page.slice(-200))?.[1];
  }
  return pages;
}

async function untilExported(receiver: OtlpReceiver, spans: number): Promise<void> {
  let counted = 0;
  let received = 0;
  await receiver.until(() => {
    for (; counted < receiver.deliveries.length; counted++) {
      received += spansOf(receiver.deliveries[counted]?.text as string).length;
    }
    return received === spans;
  });
}
