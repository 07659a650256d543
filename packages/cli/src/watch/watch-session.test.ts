import { expect, test } from "vitest";
import type { ApiClient } from "../api-client.ts";
import { NOW } from "../sample-now.ts";
import { watchSession } from "./watch-session.ts";

/** A socket whose peer never answers a close. */
class Socket extends EventTarget {
  readonly sent: string[] = [];
  closed = 0;

  send(text: string): void {
    this.sent.push(text);
  }

  close(): void {
    this.closed++;
  }

  receive(event: object): void {
    this.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(event) }));
  }
}

/** Watches with sockets of the test. @param answering until then no socket is given */
function watch(answering: Promise<void> = Promise.resolve()) {
  const asked = Promise.withResolvers<void>();
  const sockets: Socket[] = [];
  const lines: string[] = [];
  const notices: string[] = [];
  const stopping = new AbortController();
  const view = { ...NOW };
  const api = {
    now: async () => ({ ...view }),
    openEvents: async () => {
      asked.resolve();
      await answering;
      const socket = new Socket();
      sockets.push(socket);
      return socket;
    },
  } as unknown as ApiClient;
  const output = {
    changed: (_model: unknown, more: readonly string[]) => void lines.push(...more),
    notice: (text: string) => void notices.push(text),
  };
  const done = watchSession(api, "ses_a", output, stopping.signal);
  const socket = async (place: number) => {
    await expect.poll(() => sockets[place], { timeout: 10_000 }).toBeDefined();
    return sockets[place] as Socket;
  };
  return { done, asked: asked.promise, socket, lines, notices, stopping, view };
}

test("a person stops the watch, though the peer never answers the close; questions of the peer are answered", async () => {
  const { done, socket, lines, stopping } = watch();
  const first = await socket(0);
  first.dispatchEvent(new Event("open"));
  first.receive({ type: "sync", read: 7 });
  first.receive({ type: "unknown to this version" });
  first.receive({ type: "part", messageId: "msg_1", part: { type: "text", id: "p", text: "one\n" } });
  expect(first.sent).toEqual(['{"type":"synced","read":7}']);
  expect(lines).toContain("| one");
  stopping.abort();
  await done;
  expect(first.closed).toBe(1);
});

test("a person stops the watch while it asks for its socket", async () => {
  const answer = Promise.withResolvers<void>();
  const { done, asked, socket, stopping } = watch(answer.promise);
  await asked;
  stopping.abort();
  answer.resolve();
  await done;
  expect((await socket(0)).closed).toBe(1);
});

test("a lost connection is said and made again, and the end of the session ends the watch", async () => {
  const { done, socket, notices, view } = watch();
  const first = await socket(0);
  first.dispatchEvent(new Event("open"));
  first.dispatchEvent(new Event("close"));
  const second = await socket(1);
  expect(notices).toEqual(["", "The connection is lost; trying again. The session's work goes on."]);
  view.status = "terminated";
  second.dispatchEvent(new Event("open"));
  await done;
});
