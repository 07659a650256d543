import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { SessionEvent } from "./session-events.ts";

const ID = "ses_0123456789abcdefghijklmnop";

/** The browser's end of a WebSocket; the test is the server. */
class FakeSocket {
  static readonly all: FakeSocket[] = [];
  static readonly OPEN = 1;
  readyState = 0;
  readonly url: string;
  readonly sent: string[] = [];
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: (() => void) | null = null;

  constructor(url: URL) {
    this.url = url.href;
    FakeSocket.all.push(this);
  }

  send(text: string): void {
    this.sent.push(text);
  }

  close(): void {
    this.onclose?.();
  }

  receive(event: object): void {
    this.onmessage?.({ data: JSON.stringify(event) });
  }
}

const json = (status: number, body: object) =>
  new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json" } });
const limited = () => new Response(null, { status: 429, headers: { "retry-after": "30" } });
const answers: (() => Response | Promise<Response>)[] = [];
let online: () => void = () => undefined;
let turnVisible: () => void = () => undefined;
let connection: typeof import("./connection.ts").connection;
let rereads: typeof import("./reread.ts").rereads;
let listenToSession: typeof import("./session-events.ts").listenToSession;

beforeEach(async () => {
  vi.useFakeTimers();
  vi.resetModules();
  FakeSocket.all.length = 0;
  answers.length = 0;
  vi.stubGlobal("location", new URL("https://valet.test/"));
  vi.stubGlobal("WebSocket", FakeSocket);
  vi.stubGlobal("addEventListener", (type: string, listener: () => void) => {
    if (type === "online") online = listener;
    if (type === "visibilitychange") turnVisible = listener;
  });
  vi.stubGlobal("document", { visibilityState: "visible" });
  vi.stubGlobal("removeEventListener", () => undefined);
  vi.stubGlobal("fetch", async () => answers.shift()?.() ?? json(201, { ticket: "tkt" }));
  ({ connection } = await import("./connection.ts"));
  ({ rereads } = await import("./reread.ts"));
  ({ listenToSession } = await import("./session-events.ts"));
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** Listens, and returns what was heard: types, and whether a socket was opened again. */
function listen(): { readonly heard: string[]; readonly stop: () => void } {
  const heard: string[] = [];
  const stop = listenToSession(ID, (event: SessionEvent) => {
    heard.push(event.type === "opened" && event.isAgain ? "opened again" : event.type);
  });
  return { heard, stop };
}

/** Waits until the newest socket exists, and opens it. */
async function opened(count: number): Promise<FakeSocket> {
  await vi.waitFor(() => expect(FakeSocket.all).toHaveLength(count), 20_000);
  const socket = FakeSocket.all.at(-1) as FakeSocket;
  socket.readyState = FakeSocket.OPEN;
  socket.onopen?.();
  return socket;
}

test("events arrive over a socket that a ticket opens, and `sync` is answered", async () => {
  const { heard, stop } = listen();
  const socket = await opened(1);
  expect(socket.url).toBe(`wss://valet.test/api/sessions/${ID}/ws?ticket=tkt`);
  socket.receive({ type: "session", session: {} });
  socket.receive({ type: "sync", read: 7 });
  expect(heard).toEqual(["opened", "session"]);
  expect(socket.sent).toEqual(['{"type":"synced","read":7}']);
  stop();
});

test("after a break it opens another socket, and tells its listeners to read again", async () => {
  const { heard, stop } = listen();
  (await opened(1)).close();
  await vi.advanceTimersByTimeAsync(500);
  await opened(2);
  expect(heard).toEqual(["opened", "down", "opened again"]);
  stop();
});

test("a server that is away is tried again, at once when the browser is online again", async () => {
  answers.push(() => {
    throw new TypeError("no network");
  });
  const { heard, stop } = listen();
  await vi.advanceTimersByTimeAsync(1);
  expect(FakeSocket.all).toHaveLength(0);
  online();
  await opened(1);
  expect(heard).toEqual(["opened"]);
  stop();
});

test("a browser that says twice that it is online opens one socket", async () => {
  answers.push(() => {
    throw new TypeError("no network");
  });
  const { heard, stop } = listen();
  await vi.advanceTimersByTimeAsync(1);
  online();
  online();
  await vi.advanceTimersByTimeAsync(1);
  await opened(1);
  expect(heard).toEqual(["opened"]);
  stop();
});

test("a socket that answers no ping is given up, even if it never closes", async () => {
  const { heard, stop } = listen();
  const socket = await opened(1);
  await vi.advanceTimersByTimeAsync(20_000);
  expect(socket.sent).toEqual(["ping"]);
  socket.onmessage?.({ data: "pong" });
  await vi.advanceTimersByTimeAsync(20_000);
  expect(heard).toEqual(["opened"]);
  await vi.advanceTimersByTimeAsync(21_000);
  expect(heard).toEqual(["opened", "down"]);
  await opened(2);
  stop();
});

test("a socket that died while the computer slept, or was offline, is noticed within seconds", async () => {
  const { heard, stop } = listen();
  const socket = await opened(1);
  online();
  expect(socket.sent).toEqual(["ping"]);
  socket.onmessage?.({ data: "pong" });
  vi.advanceTimersByTime(5_000);
  socket.onmessage?.({ data: "pong" });
  expect(heard).toEqual(["opened"]);
  // While a computer sleeps, its clock goes on and no timer fires.
  vi.setSystemTime(Date.now() + 3_600_000);
  vi.advanceTimersByTime(20_000);
  vi.advanceTimersByTime(5_000);
  expect(heard).toEqual(["opened", "down"]);
  const other = await opened(2);
  online();
  vi.advanceTimersByTime(5_000);
  expect(heard.slice(2)).toEqual(["opened again", "down"]);
  expect(other.sent).toEqual(["ping"]);
  stop();
});

test("whoever looks at the page again learns within seconds that the socket died, and waits for no pause", async () => {
  const { heard, stop } = listen();
  const socket = await opened(1);
  vi.stubGlobal("document", { visibilityState: "hidden" });
  turnVisible();
  expect(socket.sent).toEqual([]);
  vi.stubGlobal("document", { visibilityState: "visible" });
  turnVisible();
  expect(socket.sent).toEqual(["ping"]);
  vi.advanceTimersByTime(5_000);
  expect(heard).toEqual(["opened", "down"]);
  turnVisible();
  await vi.advanceTimersByTimeAsync(1);
  expect(FakeSocket.all).toHaveLength(2);
  stop();
});

test("a socket that does not open is given up: a server that stands still refuses nothing", async () => {
  const { heard, stop } = listen();
  await vi.waitFor(() => expect(FakeSocket.all).toHaveLength(1));
  await vi.advanceTimersByTimeAsync(21_000);
  const late = FakeSocket.all[0];
  await opened(2);
  expect(late?.onopen).toBeNull();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(heard).toEqual(["down", "opened"]);
  expect(FakeSocket.all).toHaveLength(2);
  stop();
});

test("listeners of one session share a socket; a later one learns its state; the last one closes it", async () => {
  const first = listen();
  const socket = await opened(1);
  socket.receive({ type: "session", session: {} });
  const second = listen();
  expect(second.heard).toEqual(["opened", "session"]);
  first.stop();
  socket.receive({ type: "turn", turn: {} });
  expect([first.heard.length, second.heard.length]).toEqual([2, 3]);
  second.stop();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(FakeSocket.all).toHaveLength(1);
});

test.each([401, 404, 410, 400])("an answer %d lasts: the session is not asked for again", async (status) => {
  answers.push(() => json(status, { type: "urn:valet:problem:refused", title: "Refused", status }));
  const { heard, stop } = listen();
  await vi.advanceTimersByTimeAsync(60_000);
  expect([heard, FakeSocket.all.length]).toEqual([["gone"], 0]);
  stop();
});

test("a socket that is refused asks why: of a session that is gone no other is opened", async () => {
  answers.push(
    () => json(201, { ticket: "tkt" }),
    () => json(200, {}),
    () => json(201, { ticket: "tkt" }),
    () => json(404, { type: "urn:valet:problem:session-not-found", title: "No such session", status: 404 }),
  );
  const { heard, stop } = listen();
  for (const count of [1, 2]) {
    await vi.waitFor(() => expect(FakeSocket.all).toHaveLength(count), 20_000);
    FakeSocket.all.at(-1)?.close();
    await vi.advanceTimersByTimeAsync(30_000);
  }
  expect([heard, FakeSocket.all.length]).toEqual([["down", "down", "gone"], 2]);
  stop();
});

test("a page whose socket is refused again and again says so, until one opens", async () => {
  const { heard, stop } = listen();
  for (const [count, isSaid] of [1, 2, 3].map((count) => [count, count > 1] as const)) {
    await vi.waitFor(() => expect(FakeSocket.all).toHaveLength(count), 20_000);
    FakeSocket.all.at(-1)?.close();
    await vi.advanceTimersByTimeAsync(1);
    expect(String(rereads.read()).includes("The live connection to the session cannot be opened.")).toBe(isSaid);
  }
  rereads.now();
  await vi.advanceTimersByTimeAsync(1);
  await opened(4);
  expect([heard, rereads.read()]).toEqual([["down", "down", "down", "opened"], undefined]);
  (FakeSocket.all[3] as FakeSocket).close();
  stop();
  await vi.advanceTimersByTimeAsync(60_000);
  expect([FakeSocket.all.length, rereads.read()]).toEqual([4, undefined]);
});

test("the pause before each attempt is twice as long as the one before", async () => {
  vi.spyOn(Math, "random").mockReturnValue(1);
  const { stop } = listen();
  const pauses: number[] = [];
  for (let count = 1; count <= 4; count += 1) {
    await vi.waitFor(() => expect(FakeSocket.all).toHaveLength(count), 20_000);
    const atMs = Date.now();
    FakeSocket.all.at(-1)?.close();
    while (FakeSocket.all.length === count) await vi.advanceTimersByTimeAsync(10);
    pauses.push(Date.now() - atMs);
  }
  expect(pauses).toEqual([500, 1_000, 2_000, 4_000]);
  stop();
  vi.mocked(Math.random).mockRestore();
});

test.each<[string, (() => Response)[]]>([
  ["the ticket", [() => limited()]],
  ["the question why a socket was refused", [() => json(201, { ticket: "tkt" }), () => limited()]],
])("a server that asks for a wait is not asked before it is over: %s", async (_what, first) => {
  answers.push(...first);
  const { stop } = listen();
  const sockets = first.length - 1;
  await vi.waitFor(() => expect(FakeSocket.all).toHaveLength(sockets), 20_000);
  FakeSocket.all.at(-1)?.close();
  await vi.advanceTimersByTimeAsync(29_000);
  expect(FakeSocket.all).toHaveLength(sockets);
  expect(String(rereads.read())).toContain("The live connection to the session cannot be opened.");
  await vi.advanceTimersByTimeAsync(2_000);
  await opened(sockets + 1);
  stop();
});

test("events are signs of life of a server whose answers are slow", async () => {
  const { stop } = listen();
  const socket = await opened(1);
  await vi.advanceTimersByTimeAsync(1_000);
  answers.push(() => new Promise<never>(() => {}));
  const { api } = await import("./client.ts");
  void api.GET("/api/attention", {});
  await vi.advanceTimersByTimeAsync(10_000);
  socket.receive({ type: "turn", turn: {} });
  await vi.advanceTimersByTimeAsync(6_000);
  expect(connection.read().state).toBe("live");
  stop();
});

test("a server that is overloaded is asked again", async () => {
  answers.push(() => json(503, { type: "urn:valet:problem:unavailable", title: "Unavailable", status: 503 }));
  const { heard, stop } = listen();
  await vi.advanceTimersByTimeAsync(1_000);
  await opened(1);
  expect(heard).toEqual(["opened"]);
  stop();
});
