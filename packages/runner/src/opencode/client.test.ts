import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SpanContext } from "@valet/shared/tracing";
import { describe, expect, onTestFinished, test } from "vitest";
import { type HistoryMessage, OpenCodeClient } from "./client.ts";

const CONTEXT: SpanContext = {
  traceId: "a".repeat(32),
  spanId: "b".repeat(16),
  traceFlags: 1,
  traceState: "",
  isRemote: false,
};

/** Starts a server like OpenCode, whose only session was begun in a folder; without one its answer names no folder. */
function clientFor(begunIn: string | undefined, directory: string): OpenCodeClient {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: ({ url }) => {
      if (!url.endsWith("/session/ses_1")) return new Response("{}", { status: 404 });
      return Response.json({ id: "ses_1", ...(begunIn !== undefined && { directory: begunIn }) });
    },
  });
  onTestFinished(() => void server.stop(true));
  return new OpenCodeClient({ url: `http://127.0.0.1:${server.port}`, password: "pw", directory });
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "valet-client-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test("a session is only known in the folder in which it was begun, by any path to it", async () => {
  const [here, elsewhere] = [folder(), folder()];
  const link = join(elsewhere, "link");
  symlinkSync(here, link);
  const has = (begunIn: string | undefined, id = "ses_1") => clientFor(begunIn, here).hasSession(id, CONTEXT);
  expect(await has(here)).toBe(true);
  expect(await has(link)).toBe(true);
  expect(await has(undefined)).toBe(true);
  expect(await has(elsewhere)).toBe(false);
  // As after the state directory was moved.
  expect(await has(join(elsewhere, "gone"))).toBe(false);
  expect(await has(here, "ses_2")).toBe(false);
});

describe("a history", () => {
  /** Starts a server like OpenCode, whose session has messages with the ids `0`, `1`, …, one per second. */
  function historyOf(count: number) {
    const asked: string[] = [];
    const message = (index: number) => ({
      info: { id: `msg_${index}`, sessionID: "ses_1", role: "user", time: { created: index * 1000 }, agent: "build" },
      parts: [],
    });
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: ({ url }) => {
        const { search, searchParams } = new URL(url);
        asked.push(search);
        const end = Number(searchParams.get("before") ?? count);
        const start = Math.max(0, end - Number(searchParams.get("limit")));
        const page = Array.from({ length: end - start }, (_, index) => message(start + index));
        return Response.json(page, { headers: start > 0 ? { "x-next-cursor": String(start) } : {} });
      },
    });
    onTestFinished(() => void server.stop(true));
    return { asked, client: new OpenCodeClient({ url: `http://127.0.0.1:${server.port}`, password: "pw" }) };
  }
  const isFrom = (index: number) => (each: HistoryMessage) => each.info.id === `msg_${index}`;
  const idsIn = (messages: readonly HistoryMessage[]) => messages.map(({ info }) => Number(info.id.slice(4)));

  test("is read in one page if the expected messages reach back far enough", async () => {
    const { client, asked } = historyOf(10_000);
    const messages = await client.messages("ses_1", CONTEXT, { expected: 3, isFirst: isFrom(9_997) });
    expect(idsIn(messages)).toEqual([9_997, 9_998, 9_999]);
    expect(asked).toEqual(["?limit=3"]);
  });

  test("is read backwards, page by page, to the first message of interest", async () => {
    const { client, asked } = historyOf(10_000);
    const messages = await client.messages("ses_1", CONTEXT, { expected: 2, isFirst: isFrom(9_990) });
    expect(idsIn(messages)).toEqual(Array.from({ length: 14 }, (_, index) => 9_986 + index));
    expect(asked).toEqual(["?limit=2", "?limit=4&before=9998", "?limit=8&before=9994"]);
  });

  test("is read completely, in pages of limited size, if no message is the first of interest", async () => {
    const { client, asked } = historyOf(250);
    const messages = await client.messages("ses_1", CONTEXT, { expected: 0, isFirst: () => false });
    expect(idsIn(messages)).toEqual(Array.from({ length: 250 }, (_, index) => index));
    expect(Math.max(...asked.map((search) => Number(new URLSearchParams(search).get("limit"))))).toBe(100);
  });

  test("has one timeout for all pages", async () => {
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: async () => {
        await Bun.sleep(20);
        return Response.json([], { headers: { "x-next-cursor": "more" } });
      },
    });
    onTestFinished(() => void server.stop(true));
    const client = new OpenCodeClient({ url: `http://127.0.0.1:${server.port}`, password: "pw" });
    const endless = client.messages("ses_1", CONTEXT, { expected: 1, isFirst: () => false, timeoutMs: 100 });
    await expect(endless).rejects.toThrow("GET /session/:id/message: no answer");
  });
});
