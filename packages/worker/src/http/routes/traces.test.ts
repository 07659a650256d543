import { BacklinkList, FoundSpans, TraceList, TurnList } from "@valet/shared/protocol/session-api";
import { SessionView } from "@valet/shared/protocol/session-view";
import { spansOfSkeleton } from "@valet/shared/protocol/skeleton-codec";
import { TraceSkeleton } from "@valet/shared/protocol/trace-skeleton";
import { beforeAll, expect, test, vi } from "vitest";
import { call, createSession, signIn } from "../../../test/api.ts";
import { attributeOf, spansOf } from "../../../test/otlp.ts";

let token: string;
let session: string;
let traceId: string;
beforeAll(async () => {
  token = await signIn();
  session = `/api/sessions/${(await createSession(token)).id}`;
  const response = await call("POST", `${session}/messages`, { token, body: { content: "hello" } });
  traceId = ((await response.json()) as { traceId: string }).traceId;
});

async function read(path: string): Promise<string> {
  const response = await call("GET", session + path, { token });
  expect(response.status).toBe(200);
  return response.text();
}

test("traces are listed, one for each operation", async () => {
  await vi.waitFor(async () => {
    const { traces } = TraceList.parse(JSON.parse(await read("/traces")));
    const names = traces.map(({ name }) => name).sort();
    expect(names).toEqual(["POST /api/sessions", "POST /api/sessions/:id/messages", "valet.sandbox.spawn"]);
    expect(traces.find((trace) => trace.traceId === traceId)?.openSpans).toBe(2);
  }, 20_000);
});

test("a trace is shown with its open spans", async () => {
  const spans = spansOf(await read(`/traces/${traceId}`));
  const open = spans.filter(({ endTimeUnixNano }) => endTimeUnixNano === undefined);
  expect(open.map(({ name }) => name).sort()).toEqual(["valet.prompt", "valet.queue.wait"]);
  for (const span of spans) expect(session).toContain(attributeOf(span, "valet.session.id"));
});

test("an unknown trace, and an invalid trace id, are not found", async () => {
  for (const id of ["a".repeat(32), "0".repeat(32), "x", traceId.toUpperCase()]) {
    const response = await call("GET", `${session}/traces/${id}`, { token });
    expect(response.status).toBe(404);
  }
});

test("a skeleton is shown, and not again while it has not changed", async () => {
  const path = `${session}/traces/${traceId}/skeleton`;
  const first = await call("GET", path, { token });
  const { chunks, next, isComplete } = TraceSkeleton.parse(await first.json());
  expect(isComplete).toBe(true);
  const expected = spansOf(await read(`/traces/${traceId}`)).map(({ spanId }) => spanId);
  const spans = spansOfSkeleton(chunks);
  expect(spans.map(({ spanId }) => spanId).sort()).toEqual(expected.sort());
  const etag = first.headers.get("etag") as string;
  for (const known of [etag, `W/${etag}`, `"another", W/${etag}`, "*"]) {
    const again = await call("GET", path, { token, headers: { "if-none-match": known } });
    expect([again.status, await again.text(), again.headers.get("etag")]).toEqual([304, "", etag]);
  }
  const head = await call("HEAD", path, { token });
  expect([head.status, await head.text(), head.headers.get("etag")]).toEqual([200, "", etag]);
  const since = TraceSkeleton.parse(JSON.parse(await read(`/traces/${traceId}/skeleton?after=${next}`)));
  expect(spansOfSkeleton(since.chunks).length).toBeLessThanOrEqual(spans.length);
  for (const query of ["?after=x", "?before=x"]) {
    expect((await call("GET", path + query, { token })).status).toBe(400);
  }
  expect((await call("GET", `${session}/traces/${"a".repeat(32)}/skeleton`, { token })).status).toBe(404);
});

test("the cursor of another list, trace or session is refused: the rest of this one would look complete", async () => {
  const next = async (of: string, id: string) =>
    TraceSkeleton.parse(await (await call("GET", `${of}/traces/${id}/skeleton`, { token })).json()).next;
  const own = await next(session, traceId);
  const { traces } = TraceList.parse(JSON.parse(await read("/traces")));
  const otherTrace = traces.find((trace) => trace.traceId !== traceId)?.traceId as string;
  const other = await call("POST", "/api/sessions", {
    token,
    body: {},
    headers: { traceparent: `00-${traceId}-${"b".repeat(16)}-01` },
  });
  const { id } = SessionView.parse(await other.json());
  await vi.waitFor(async () => expect(await next(`/api/sessions/${id}`, traceId)).not.toBe(own), 20_000);
  const foreign = [await next(session, otherTrace), await next(`/api/sessions/${id}`, traceId), btoa('["1"]')];
  for (const cursor of foreign) {
    const paths = [
      `/traces/${traceId}/skeleton?after=`,
      `/traces/${traceId}/search?q=x&cursor=`,
      `/traces/${traceId}?cursor=`,
      "/spans?cursor=",
    ];
    for (const path of paths)
      expect([path, (await call("GET", session + path + cursor, { token })).status]).toEqual([path, 400]);
  }
  expect((await call("GET", `${session}/traces/${traceId}/skeleton?after=${own}`, { token })).status).toBe(200);
  expect((await call("GET", `${session}/traces/${traceId}?cursor=${own}`, { token })).status).toBe(400);
});

test("one span is shown, and spans are found by their attributes", async () => {
  const { spanIds } = FoundSpans.parse(JSON.parse(await read(`/traces/${traceId}/search?q=VALET.PROMPT`)));
  expect(spanIds).toHaveLength(1);
  const [span, ...others] = spansOf(await read(`/traces/${traceId}/spans/${spanIds[0]}`));
  expect([span?.name, span?.endTimeUnixNano, others]).toEqual(["valet.prompt", undefined, []]);
  for (const path of [`spans/${"a".repeat(16)}`, "spans/x"]) {
    expect((await call("GET", `${session}/traces/${traceId}/${path}`, { token })).status).toBe(404);
  }
  expect((await call("GET", `${session}/traces/${traceId}/search`, { token })).status).toBe(400);
});

test("spans are streamed as lines of OTLP", async () => {
  await vi.waitFor(async () => {
    const response = await call("GET", `${session}/spans`, { token });
    expect(response.headers.get("content-type")).toBe("application/x-ndjson");
    const lines = new TextDecoder()
      .decode(await response.arrayBuffer())
      .trimEnd()
      .split("\n");
    const names = lines.flatMap((line) => spansOf(line)).map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(["POST /api/sessions", "POST /api/sessions/:id/messages"]));
  }, 20_000);
});

test("only finished turns are listed", async () => {
  expect(TurnList.parse(JSON.parse(await read("/turns")))).toEqual({ turns: [] });
});

test("the spans that link to a trace are listed, of any state; one that nothing links to has none", async () => {
  const linked = async () => {
    const { spanId } = spansOf(await read(`/traces/${traceId}`)).find(({ name }) => name === "valet.queue.wait") ?? {};
    const { traces } = TraceList.parse(JSON.parse(await read("/traces")));
    const [link] = spansOf(await read(`/traces/${traceId}`)).flatMap(({ links = [] }) => links);
    return { spanId, traces, link };
  };
  const { spanId, link } = await linked();
  // The message waits for the sandbox: its wait links to the operation.
  const answer = BacklinkList.parse(JSON.parse(await read(`/traces/${link?.traceId}/backlinks`)));
  expect(answer.backlinks).toContainEqual({
    traceId,
    spanId,
    name: "valet.queue.wait",
    startedAt: expect.any(String),
    targetSpanId: link?.spanId,
    type: "waited_on",
  });
  expect(JSON.parse(await read(`/traces/${"a".repeat(32)}/backlinks`))).toEqual({ backlinks: [] });
  for (const path of [`/traces/${traceId}/backlinks?cursor=x`, `/traces/${traceId}/backlinks?after=x`]) {
    expect((await call("GET", session + path, { token })).status).toBe(400);
  }
  const other = await signIn();
  expect((await call("GET", `${session}/traces/${traceId}/backlinks`, { token: other })).status).toBe(404);
});
