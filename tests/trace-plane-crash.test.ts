/**
 * The trace plane in a real workerd that is killed with SIGKILL at every step, with a real receiver. Not covered: loss
 * of power, and Cloudflare's own storage.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { FromRunner, ToRunnerOf } from "../packages/shared/src/protocol/runner-link.ts";
import { encodeTraces, type ReadableSpan, Tracer } from "../packages/shared/src/tracing/index.ts";
import { OtlpReceiver, type OtlpSpan, spansOf } from "../packages/shared/test/otlp-receiver.ts";
import { bundleTracePlane, startTracePlane, type TracePlaneProcess } from "./trace-plane-process.ts";

const SESSION = "ses_crash";
/** Short: what must not happen before a crash is held. */
const SEGMENT_DELAY_MS = 50;
/** Nobody waits for it: an answer that is late, and not missing, must not be asked for twice. */
const EXPORT_TIMEOUT_MS = 30_000;
/** A point in the worker, before the tail is folded and sent. */
const BEFORE_THE_FOLD = "/before the fold";

let module: string;
let directory: string;
let receiver: OtlpReceiver;
let plane: TracePlaneProcess | undefined;
let logged: string[];
let onLogged: () => void;

beforeAll(async () => {
  module = await bundleTracePlane();
});

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "valet-trace-plane-"));
  receiver = await new OtlpReceiver().listen();
  logged = [];
  onLogged = () => {};
});

afterEach(async () => {
  await plane?.kill();
  plane = undefined;
  await receiver.close();
  rmSync(directory, { recursive: true, force: true });
});

async function start(): Promise<void> {
  const config = {
    sessionId: SESSION,
    exportUrl: `${receiver.url}/v1/traces`,
    exportTimeoutMs: EXPORT_TIMEOUT_MS,
    segmentDelayMs: SEGMENT_DELAY_MS,
    breakpointUrl: receiver.url,
  };
  plane = await startTracePlane(module, directory, config, (message) => {
    logged.push(message);
    onLogged();
  });
}

async function crash(): Promise<void> {
  const killed = plane?.kill();
  plane = undefined;
  await killed;
}

async function call(path: string): Promise<Response> {
  const answer = await fetch(`${plane?.url}${path}`);
  if (!answer.ok) throw new Error(`${path} was answered with ${answer.status}: ${await answer.text()}`);
  return answer;
}

/** Returns the distinct batches that arrived, as bytes. */
function batches(): string[] {
  return [...new Set(receiver.deliveries.map(({ body }) => body.toString("base64")))];
}

/** Returns the received spans; a batch that was repeated byte for byte counts once. */
function receivedSpans(): OtlpSpan[] {
  const isFirst = new Set(batches());
  return receiver.deliveries.flatMap(({ body, text }) =>
    isFirst.delete(body.toString("base64")) ? spansOf(text) : [],
  );
}

function receivedNames(): string[] {
  return receivedSpans()
    .map(({ name }) => name)
    .sort();
}

function untilReceived(...names: string[]): Promise<void> {
  return receiver.until(() => names.every((name) => receivedNames().includes(name)));
}

/** Starts, and does the work that is acknowledged before each crash: two jobs started, one of them ended. Nothing of it is folded. */
async function work(): Promise<void> {
  receiver.hold(BEFORE_THE_FOLD);
  await start();
  await call("/begin?job=a");
  await call("/begin?job=b");
  await call("/end?job=a");
}

/** Lets what is held go on to a later point. */
async function goOnTo(point: string): Promise<void> {
  receiver.release();
  receiver.hold(point);
  await receiver.held();
}

/** Expects after a crash that all work continues where it was, with exactly this many repeated batches. */
async function expectAllOnce(repeats: number): Promise<void> {
  // Only the alarm that was set before the crash can wake the object.
  await untilReceived("begin a", "begin b", "job a");
  expect(await (await call("/jobs")).json()).toEqual([
    { name: "a", isDone: true, isOpen: false },
    { name: "b", isDone: false, isOpen: true },
  ]);
  await call("/end?job=b");
  await untilReceived("job b");
  expect(receivedNames()).toEqual(["begin a", "begin b", "job a", "job b"]);
  expect(receiver.deliveries.length - batches().length).toBe(repeats);
}

describe("killed", () => {
  test("after the transaction, before the fold", async () => {
    await work();
    await crash();
    expect(receiver.deliveries).toEqual([]);
    receiver.release();
    await start();
    await expectAllOnce(0);
  });

  test("after the fold, before the POST", async () => {
    await work();
    await goOnTo("/before the POST");
    await crash();
    expect(receiver.deliveries).toEqual([]);
    receiver.release();
    await start();
    await expectAllOnce(0);
  });

  test.each([
    ["while the POST is in flight", "/v1/traces"],
    ["after the answer, before the cursor moves", "/after the answer"],
  ])("%s: that batch is repeated, byte for byte", async (_when, point) => {
    await work();
    await goOnTo(point);
    await crash();
    expect(receiver.deliveries).toHaveLength(1);
    receiver.release();
    await start();
    await expectAllOnce(1);
    expect(receiver.deliveries[1]?.body.equals(receiver.deliveries[0]?.body as Buffer)).toBe(true);
  });

  test("within the transaction: neither the state nor its spans are stored", async () => {
    await work();
    const inTransaction = new Promise<void>((resolve) => {
      onLogged = () => logged.includes("in the transaction") && resolve();
    });
    const unanswered = expect(call("/begin?job=never&hang")).rejects.toThrow();
    await inTransaction;
    await crash();
    await unanswered;
    receiver.release();
    await start();
    await expectAllOnce(0);
  });
});

describe("frames of a runner", () => {
  const FRAMES = 60;
  const SPANS = 40;

  function makeFrame(seq: number): string {
    const spans: ReadableSpan[] = [];
    const processor = { onStart: () => {}, onEnd: (span: ReadableSpan) => void spans.push(span) };
    const tracer = new Tracer({ scope: { name: "runner" }, processor });
    const attributes = { "valet.session.id": SESSION };
    for (let i = 0; i < SPANS; i++) tracer.startSpan(`frame ${seq}`, { attributes }).end();
    const otlp = encodeTraces({ "service.name": "valet-runner" }, spans);
    return JSON.stringify({ type: "spans", instanceId: "run_1", seq, otlp } satisfies FromRunner);
  }

  /** Sends all frames from `first` on at once; resolves with the acknowledged number when `enough` returns true. */
  async function send(frames: readonly string[], first: number, enough: (seq: number) => boolean): Promise<number> {
    const socket = new WebSocket(plane?.webSocketUrl as string);
    await new Promise((resolve) => socket.addEventListener("open", resolve, { once: true }));
    return new Promise((resolve) => {
      socket.addEventListener("message", ({ data }) => {
        const { seq } = JSON.parse(data) as ToRunnerOf<"spans-ack">;
        if (enough(seq)) resolve(seq);
      });
      for (const frame of frames.slice(first - 1)) socket.send(frame);
    });
  }

  test("are stored once acknowledged, and not duplicated when unacknowledged ones are repeated", async () => {
    const frames = Array.from({ length: FRAMES }, (_, i) => makeFrame(i + 1));
    await start();
    const acknowledged = await send(frames, 1, (seq) => seq >= FRAMES / 3);
    await crash();

    await start();
    const stored = (await (await call("/spans")).text()).trimEnd().split("\n").flatMap(spansOf);
    const names = new Set(stored.map(({ name }) => name));
    for (let seq = 1; seq <= acknowledged; seq++) expect(names).toContain(`frame ${seq}`);

    // An acknowledgement may have been lost, so repeated frames may be stored already.
    await send(frames, Math.max(1, acknowledged - 2), (seq) => seq === FRAMES);
    await receiver.until(() => receivedSpans().length >= FRAMES * SPANS);
    const spanIds = receivedSpans().map(({ spanId }) => spanId);
    expect(spanIds).toHaveLength(FRAMES * SPANS);
    expect(new Set(spanIds).size).toBe(FRAMES * SPANS);
  });
});
