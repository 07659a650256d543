/** Spans of programs that the agent's commands ran: shown and exported under their own name, and they decide nothing. */
import { gunzipSync } from "node:zlib";
import { spansOfSkeleton } from "@valet/shared/protocol/skeleton-codec";
import type { TraceSkeleton } from "@valet/shared/protocol/trace-skeleton";
import { parseOpenSpan, type ReadableSpan, serialiseSpan, Tracer } from "@valet/shared/tracing";
import { expect, test } from "vitest";
import { inStorage } from "../../../test/in-storage.ts";
import { attributesOf, makeFrame, SESSION, spansOf, type WireSpan } from "../../../test/otlp.ts";
import { TraceStore } from "./trace-store.ts";

function openStore(storage: DurableObjectStorage): TraceStore {
  return new TraceStore(storage.sql, {
    transact: (work) => storage.transactionSync(work),
    sessionId: SESSION,
    resource: { "service.name": "valet-worker", team: "platform" },
    segmentDelayMs: 5000,
    maxBytes: 1e9,
    now: () => Date.now(),
  });
}

type Texts = Readonly<Record<string, string>>;
const toList = (values: Texts) => Object.entries(values).map(([key, stringValue]) => ({ key, value: { stringValue } }));

/** A frame with one span of another program. */
function adoptedFrame(
  { traceId, spanId }: { traceId: string; spanId: string },
  parentSpanId: string | undefined,
  { name = "GET /users", attributes = {}, resource = { "service.name": "suite" } as Texts } = {},
): string {
  const span = {
    traceId,
    spanId,
    ...(parentSpanId !== undefined && { parentSpanId }),
    flags: 0x301,
    name,
    kind: 3,
    startTimeUnixNano: "1000000000",
    endTimeUnixNano: "2000000000",
    attributes: [{ key: "valet.session.id", value: { stringValue: SESSION } }, ...toList(attributes)],
    status: { code: 2 },
  };
  const mark = { key: "valet.adopted", value: { boolValue: true } };
  return JSON.stringify({
    resourceSpans: [
      {
        resource: { attributes: [...toList(resource), mark] },
        scopeSpans: [{ scope: { name: "http", version: "2" }, spans: [span] }],
      },
    ],
  });
}

function beginTool() {
  const started: ReadableSpan[] = [];
  const tracer = new Tracer({
    scope: { name: "@valet/runner" },
    processor: { onStart: (span) => started.push(span), onEnd: () => {} },
  });
  tracer.startSpan("execute_tool bash", { attributes: { "valet.session.id": SESSION } });
  const open = parseOpenSpan(serialiseSpan(started[0]!));
  if (open === undefined) throw new Error("the span cannot be read back");
  return open;
}

const accept = (store: TraceStore, otlp: string, seq = 1) => store.acceptFrames([{ instanceId: "run_1", seq, otlp }]);
const trace = async (store: TraceStore, traceId: string): Promise<WireSpan[]> =>
  spansOf(await new Response(store.reader.trace(traceId)).text());

test("keep their program's name and scope, but not what the object decides", () =>
  inStorage(async (storage) => {
    const store = openStore(storage);
    const tool = beginTool();
    store.announce("run_1", tool);
    const { traceId, spanId } = tool.context;
    const resource = {
      "service.name": "suite",
      "service.version": "3",
      "user.id": "mallory",
      "valet.session.id": "ses_other",
    };
    const attributes = {
      "user.id": "mallory",
      "valet.outcome": "lost",
      "valet.permission.id": "per_1",
      "valet.adopted.trace_id": "1".repeat(32),
      "http.route": "/users",
    };
    accept(store, adoptedFrame({ traceId, spanId: "1".repeat(16) }, spanId, { resource, attributes }));
    const [span] = (await trace(store, traceId)).filter(({ name }) => name === "GET /users");
    expect(attributesOf(span)).toEqual({
      "valet.session.id": SESSION,
      "session.id": SESSION,
      "gen_ai.conversation.id": SESSION,
      "valet.adopted.trace_id": "1".repeat(32),
      "http.route": "/users",
      "valet.adopted": "true",
    });
    store.fold();
    const sent = JSON.parse(gunzipSync(store.segments.nextSampled(0)?.body as Uint8Array).toString());
    expect(sent.resourceSpans).toMatchObject([{ scopeSpans: [{ scope: { name: "http", version: "2" } }] }]);
    const values = sent.resourceSpans[0].resource.attributes.map((each: { key: string; value: object }) => [
      each.key,
      Object.values(each.value)[0],
    ]);
    expect(Object.fromEntries(values)).toEqual({
      "service.name": "suite",
      "service.version": "3",
      "valet.adopted": true,
      "valet.session.id": SESSION,
      team: "platform",
    });
  }));

test("cannot pose as one of Valet's services", () =>
  inStorage(async (storage) => {
    const store = openStore(storage);
    const tool = beginTool();
    store.announce("run_1", tool);
    const { traceId, spanId } = tool.context;
    accept(
      store,
      adoptedFrame({ traceId, spanId: "1".repeat(16) }, spanId, { resource: { "service.name": "valet-worker" } }),
    );
    const text = await new Response(store.reader.trace(traceId)).text();
    expect(text).toContain("unknown_service");
  }));

test("end no span of Valet, whoever has it open, and are counted", () =>
  inStorage(async (storage) => {
    const store = openStore(storage);
    const tool = beginTool();
    store.announce("run_1", tool);
    const { traceId, spanId } = tool.context;
    accept(store, adoptedFrame({ traceId, spanId }, undefined));
    expect(store.openSpan(spanId)?.name).toBe("execute_tool bash");
    expect((await trace(store, traceId)).map(({ name }) => name)).toEqual(["execute_tool bash"]);
    // Nor one that was sealed.
    store.seal("run_1", "runner_lost");
    accept(store, adoptedFrame({ traceId, spanId }, undefined), 2);
    expect((await trace(store, traceId)).map(({ name }) => name)).toEqual(["execute_tool bash"]);
  }));

test("are in the trace and its skeleton, and neither in answers nor in the trace's name, errors and reports of drops", () =>
  inStorage(async (storage) => {
    const store = openStore(storage);
    const message = makeFrame({ name: "valet.prompt", start: 5_000, end: 6_000 });
    accept(store, message);
    const [prompt] = spansOf(message);
    const { traceId, spanId } = prompt!;
    const forged = { "valet.dropped_spans.queue_full": "9", "gen_ai.usage.input_tokens": "9" };
    const names = ["valet.trace_plane.dropped", "chat x", "execute_tool bash", "invoke_agent build", "valet.turn"];
    names.forEach((name, index) => {
      const id = { traceId, spanId: `${index + 1}`.repeat(16) };
      accept(store, adoptedFrame(id, spanId, { name, attributes: forged }), index + 2);
    });
    const skeleton = () => {
      const { text = "{}" } = store.reader.skeletons.read(traceId) ?? {};
      return spansOfSkeleton((JSON.parse(text) as TraceSkeleton).chunks);
    };
    for (const isFolded of [false, true]) {
      if (isFolded) store.fold();
      expect((await trace(store, traceId)).map(({ name }) => name).sort()).toEqual([...names, "valet.prompt"].sort());
      // Whoever reads the skeleton knows which they are, and they have neither tokens nor a price.
      expect(
        skeleton()
          .map(({ name, isAdopted = false, usage }) => [name, isAdopted, usage])
          .sort(),
      ).toEqual([...names.map((name) => [name, true, undefined]), ["valet.prompt", false, undefined]].sort());
      expect(store.reader.plainSpans(traceId, 100).map(({ name }) => name)).toEqual(["valet.prompt"]);
      expect(store.reader.traces()).toMatchObject([
        { traceId, name: "valet.prompt", errors: 0, spans: names.length + 1 },
      ]);
    }
  }));
