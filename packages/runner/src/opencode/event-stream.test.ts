import { afterEach, expect, test, vi } from "vitest";
import { OpenCodeClient } from "./client.ts";
import { EventStream } from "./event-stream.ts";
import type { AgentEvent } from "./events.ts";

const CONNECTED = sse({ type: "server.connected", properties: {} });
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

function sse(value: unknown): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

function status(session: string): unknown {
  return { type: "session.status", properties: { sessionID: session, status: { type: "busy" } } };
}

type Sink = ReadableStreamDefaultController<string>;

/** Starts a server that handles each connection as the test says, and a stream that reads from it. */
function setUp(
  onConnection: (sink: Sink, count: number) => Response | undefined,
  options: { silenceMs?: number; connectTimeoutMs?: number } = {},
) {
  let count = 0;
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 30,
    fetch: () => {
      const answers: (Response | undefined)[] = [];
      const body = new ReadableStream<string>({
        start: (sink) => void answers.push(onConnection(sink, ++count)),
      });
      return answers[0] ?? new Response(body.pipeThrough(new TextEncoderStream()));
    },
  });
  const events: AgentEvent[] = [];
  const onReconnected = vi.fn();
  const stream = new EventStream({
    client: new OpenCodeClient({ url: `http://127.0.0.1:${server.port}`, password: "pw", directory: "/" }),
    onEvent: (event) => events.push(event),
    onReconnected,
    connectTimeoutMs: 100,
    ...options,
  });
  closing.push(
    () => stream.close(),
    () => server.stop(true),
  );
  return { stream, events, onReconnected };
}

test("the stream connects after a request that stalls and one that is refused", async () => {
  const { stream, events, onReconnected } = setUp((sink, count) => {
    if (count === 1) return undefined;
    if (count === 2) return new Response("no", { status: 503 });
    sink.enqueue(CONNECTED);
    sink.enqueue(sse(status("ses_1")));
    return undefined;
  });
  await stream.connect();
  await vi.waitFor(() => expect(events).toHaveLength(1), 20_000);
  expect(onReconnected).not.toHaveBeenCalled();
});

test("without a server the last error is thrown", async () => {
  const { stream } = setUp(() => new Response("no", { status: 401 }));
  await expect(stream.connect(2)).rejects.toThrow("401");
});

test("an OpenCode that loads its configuration slowly is waited for until the time limit", async () => {
  const { stream } = setUp((sink, count) => {
    if (count > 3) sink.enqueue(CONNECTED);
    return undefined;
  });
  await stream.connect();
  const silent = setUp(() => undefined);
  await expect(silent.stream.connect(undefined, 200)).rejects.toThrow();
});

test("a stream that ends or falls silent is reopened, and the reconnect is reported before the events after it", async () => {
  const { stream, events, onReconnected } = setUp(
    (sink, count) => {
      sink.enqueue(CONNECTED + sse(status(`ses_${count}`)));
      if (count === 1) sink.close();
      return undefined;
    },
    // A machine that pauses must lose neither of the two.
    { silenceMs: 2_000, connectTimeoutMs: 20_000 },
  );
  /** How many events had been told before each reconnect was. */
  const before: number[] = [];
  onReconnected.mockImplementation(() => before.push(events.length));
  await stream.connect();
  await vi.waitFor(() => expect(onReconnected.mock.calls.length).toBeGreaterThanOrEqual(2), 20_000);
  expect(events.slice(0, 2)).toMatchObject([
    { properties: { sessionID: "ses_1" } },
    { properties: { sessionID: "ses_2" } },
  ]);
  // Events after those that were lost must not be taken for all there are.
  expect(before[0]).toBe(1);
});

test("invalid events are ignored, and chunks may end anywhere", async () => {
  const { stream, events } = setUp((sink) => {
    const text = `${CONNECTED}data: {nonsense\n\n: a comment\n\nevent: odd\n${sse(42)}${sse(status("ses_ä"))}`;
    for (const character of text) sink.enqueue(character);
    return undefined;
  });
  await stream.connect();
  await vi.waitFor(() => expect(events).toHaveLength(1), 20_000);
  expect(events[0]).toMatchObject({ properties: { sessionID: "ses_ä" } });
});
