/** Counts the rows that the trace store writes for spans that are announced as open before they end. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FromRunner, ToRunnerOf } from "../../packages/shared/src/protocol/runner-link.ts";
import { sessionAttributes } from "../../packages/shared/src/spans.ts";
import {
  encodeTraces,
  type ReadableSpan,
  type Span,
  serialiseSpan,
  Tracer,
} from "../../packages/shared/src/tracing/index.ts";
import { bundleTracePlane, startTracePlane } from "../../tests/trace-plane-process.ts";

export const OPEN_SPANS = 1000;
const FRAME_SPANS = 50;
const SESSION_ID = "ses_01k9z3v5wq8x7r2m4n6p0d1f3h";
const RESOURCE = { "service.name": "valet-runner", "service.instance.id": "run_bench" };

/** @returns the rows written until {@link OPEN_SPANS} spans are stored as ended, with and without having been known as open */
export async function countOpenSpans(): Promise<{ readonly announced: number; readonly endedOnly: number }> {
  const module = await bundleTracePlane();
  return { announced: await rowsOf(module, true), endedOnly: await rowsOf(module, false) };
}

async function rowsOf(module: string, isAnnounced: boolean): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), "valet-bill-"));
  const plane = await startTracePlane(module, directory, {
    sessionId: SESSION_ID,
    exportTimeoutMs: 10_000,
    segmentDelayMs: 5000,
  });
  try {
    await send(plane.webSocketUrl, makeFrames(isAnnounced));
    await (await fetch(`${plane.url}/fold`)).body?.cancel();
    const { rows, alarms } = (await (await fetch(`${plane.url}/written`)).json()) as { rows: number; alarms: number };
    return rows + alarms;
  } finally {
    await plane.kill();
    await rm(directory, { recursive: true, force: true });
  }
}

function makeFrames(isAnnounced: boolean): string[] {
  const ended: ReadableSpan[] = [];
  const tracer = new Tracer({
    scope: { name: "@valet/runner" },
    processor: { onStart: () => {}, onEnd: (span) => ended.push(span) },
  });
  const attributes = sessionAttributes(SESSION_ID);
  const turn = tracer.startSpan("valet.turn", { attributes });
  const spans = Array.from({ length: OPEN_SPANS }, () =>
    tracer.startSpan("execute_tool bash", { parent: turn, attributes }),
  );
  let seq = 0;
  const frame = (open: readonly Span[]) => {
    seq++;
    return JSON.stringify({
      type: "spans",
      instanceId: "run_bench",
      seq,
      otlp: encodeTraces(RESOURCE, ended.splice(0)),
      open: open.map((span) => serialiseSpan(span as unknown as ReadableSpan)),
    } satisfies FromRunner);
  };
  const batches = Array.from({ length: OPEN_SPANS / FRAME_SPANS }, (_, index) =>
    spans.slice(index * FRAME_SPANS, (index + 1) * FRAME_SPANS),
  );
  const announcements = isAnnounced ? batches.map(frame) : [];
  const ends = batches.map((batch) => {
    for (const span of batch) span.end();
    return frame([]);
  });
  return [...announcements, ...ends];
}

async function send(url: string, frames: readonly string[]): Promise<void> {
  const socket = new WebSocket(url);
  await new Promise((resolve) => socket.addEventListener("open", resolve, { once: true }));
  // One after the other, so that the store does not gather several.
  await new Promise<void>((resolve, reject) => {
    const next = (stored: number) => (stored === frames.length ? resolve() : socket.send(frames[stored] as string));
    socket.addEventListener("message", ({ data }) => next((JSON.parse(data) as ToRunnerOf<"spans-ack">).seq));
    socket.addEventListener("close", ({ code, reason }) => reject(new Error(`closed with ${code} ${reason}`)));
    next(0);
  });
  socket.close();
}
