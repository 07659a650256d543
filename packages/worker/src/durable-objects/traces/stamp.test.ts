import { gunzipSync } from "node:zlib";
import {
  type AttributeValue,
  attributesToObject,
  encodeTraces,
  type ReadableSpan,
  Tracer,
} from "@valet/shared/tracing";
import { describe, expect, test } from "vitest";
import { inStorage } from "../../../test/in-storage.ts";
import { makeFrame, SESSION } from "../../../test/otlp.ts";
import { TraceStore } from "./trace-store.ts";

interface KeyValue {
  key: string;
  value: Record<string, unknown>;
}
interface Stored {
  resource: KeyValue[];
  attributes: KeyValue[];
  events?: { attributes: KeyValue[] }[];
  links?: { attributes: KeyValue[] }[];
}

const DEPLOYMENT = { "deployment.environment.name": "production", team: "platform", "cloud.region": "eu" };

function openStore(storage: DurableObjectStorage): TraceStore {
  const resource = { "service.name": "valet-worker", "service.version": "1", "service.instance.id": "worker_1" };
  return new TraceStore(storage.sql, {
    transact: (work) => storage.transactionSync(work),
    sessionId: SESSION,
    resource: { ...resource, ...DEPLOYMENT, "valet.session.id": SESSION },
    segmentDelayMs: 5000,
    maxBytes: 1e9,
    now: () => 1_700_000_000_000,
  });
}

/** Returns the segment's only span, as it is sent to the backend. */
function exported(store: TraceStore): Stored {
  store.fold();
  const { resourceSpans } = JSON.parse(gunzipSync(store.segments.nextSampled(0)?.body as Uint8Array).toString());
  return { resource: resourceSpans[0].resource.attributes, ...resourceSpans[0].scopeSpans[0].spans[0] };
}

function toObject(attributes: readonly KeyValue[]): Record<string, unknown> {
  const list = attributes.flatMap(({ key, value }) => [key, Object.values(value)[0] as AttributeValue]);
  // Each key occurs once, since a backend may choose either of two.
  expect(new Set(attributes.map(({ key }) => key)).size).toBe(attributes.length);
  return attributesToObject(list);
}

/** Returns a request with one span and this resource. */
function requestOf(resource: Record<string, string | number>): string {
  const request = JSON.parse(makeFrame({}));
  request.resourceSpans[0].resource.attributes = Object.entries(resource).map(([key, value]) => ({
    key,
    value: typeof value === "string" ? { stringValue: value } : { intValue: String(value) },
  }));
  return JSON.stringify(request);
}

describe("the deployment's resource attributes", () => {
  test("are added to a runner's spans", () =>
    inStorage((storage) => {
      const store = openStore(storage);
      const otlp = requestOf({ "service.name": "valet-runner", "service.version": "7", "valet.generation": 3 });
      store.acceptFrames([{ instanceId: "run_1", seq: 1, otlp }]);
      expect(toObject(exported(store).resource)).toEqual({
        ...DEPLOYMENT,
        "service.name": "valet-runner",
        "service.version": "7",
        "service.instance.id": "run_1",
        "valet.session.id": SESSION,
        "valet.generation": "3",
      });
    }));

  test("are added to the broker's spans, which keep their name, and to an empty resource", () =>
    inStorage((storage) => {
      const store = openStore(storage);
      store.acceptSpans(requestOf({ "service.name": "valet-broker", "service.instance.id": "b", team: "other" }));
      const broker = { ...DEPLOYMENT, "service.name": "valet-broker", "service.instance.id": "b" };
      expect(toObject(exported(store).resource)).toEqual(broker);
    }));

  test("are on the Worker's request spans once", () =>
    inStorage((storage) => {
      const store = openStore(storage);
      const resource = { "service.name": "valet-worker", "service.instance.id": "w", ...DEPLOYMENT };
      store.acceptSpans(requestOf(resource));
      expect(toObject(exported(store).resource)).toEqual(resource);
    }));

  test("are on a lost runner's spans, while they are open and when the object seals them; a version is not", () =>
    inStorage(async (storage) => {
      const store = openStore(storage);
      const open: ReadableSpan[] = [];
      const processor = { onStart: (span: ReadableSpan) => open.push(span), onEnd: () => {} };
      new Tracer({ scope: { name: "runner" }, processor }).startSpan("valet.turn", {
        attributes: { "valet.session.id": SESSION },
      });
      store.announce("run_1", open[0] as ReadableSpan);
      const expected = {
        ...DEPLOYMENT,
        "service.name": "valet-runner",
        "service.instance.id": "run_1",
        "valet.session.id": SESSION,
      };
      const text = await new Response(store.reader.trace(open[0]?.context.traceId ?? "")).text();
      expect(toObject(JSON.parse(text).resourceSpans[0].resource.attributes)).toEqual(expected);
      store.seal("run_1", "runner_lost");
      expect(toObject(exported(store).resource)).toEqual(expected);
    }));
});

describe("a sandbox cannot choose", () => {
  test("the session of its spans, their emitter, or the deployment's attributes", () =>
    inStorage((storage) => {
      const store = openStore(storage);
      const forged = {
        "service.name": "valet-worker",
        "service.instance.id": "worker_1",
        "service.namespace": "theirs",
        "valet.session.id": "ses_other",
        "session.id": "ses_other",
        "gen_ai.conversation.id": "ses_other",
        "user.id": "root",
        "enduser.id": "root",
        "valet.user": "root",
        "vcs.repository.url.full": "https://other",
        team: "theirs",
        "deployment.environment.name": "staging",
        "deployment.id": "theirs",
        "process.pid": 7,
      };
      store.acceptFrames([{ instanceId: "run_1", seq: 1, otlp: requestOf(forged) }]);
      expect(toObject(exported(store).resource)).toEqual({
        ...DEPLOYMENT,
        "service.name": "valet-runner",
        "service.instance.id": "run_1",
        "valet.session.id": SESSION,
        "process.pid": "7",
      });
    }));

  test("by sending a key twice", () =>
    inStorage((storage) => {
      const store = openStore(storage);
      const request = JSON.parse(requestOf({}));
      const twice = ["a", "b"].map((stringValue) => ({ key: "service.name", value: { stringValue } }));
      request.resourceSpans[0].resource.attributes = twice;
      store.acceptFrames([{ instanceId: "run_1", seq: 1, otlp: JSON.stringify(request) }]);
      expect(toObject(exported(store).resource)["service.name"]).toBe("valet-runner");
    }));

  test("another session on the span itself, by any of the names that tools group by", () =>
    inStorage((storage) => {
      const store = openStore(storage);
      const others = { "session.id": "ses_other", "gen_ai.conversation.id": "ses_other" };
      store.acceptFrames([{ instanceId: "run_1", seq: 1, otlp: makeFrame({ attributes: others }) }]);
      expect(toObject(exported(store).attributes)).toEqual({
        "valet.session.id": SESSION,
        "session.id": SESSION,
        "gen_ai.conversation.id": SESSION,
      });
    }));
});

test("nor on an open span, while it is open and when it is sealed", () =>
  inStorage(async (storage) => {
    const store = openStore(storage);
    const open: ReadableSpan[] = [];
    const processor = { onStart: (span: ReadableSpan) => open.push(span), onEnd: () => {} };
    const forged = { "valet.session.id": SESSION, "session.id": "ses_other", "valet.llm.cost_usd": 3 };
    const span = new Tracer({ scope: { name: "runner" }, processor }).startSpan("valet.turn", { attributes: forged });
    store.announce("run_1", open[0] as ReadableSpan);
    const ids = { "valet.session.id": SESSION, "session.id": SESSION, "gen_ai.conversation.id": SESSION };
    const text = await new Response(store.reader.trace(span.context.traceId)).text();
    expect(toObject(JSON.parse(text).resourceSpans[0].scopeSpans[0].spans[0].attributes)).toMatchObject(ids);
    store.seal("run_1", "runner_lost");
    expect(toObject(exported(store).attributes)).toMatchObject(ids);
    expect(exported(store).attributes).toContainEqual({ key: "valet.llm.cost_usd", value: { doubleValue: 3 } });
  }));

describe("attributes that the catalogue declares double", () => {
  /** Returns a span with an integral cost, as a tracer without the declaration writes it. */
  function paid(): string {
    const ended: ReadableSpan[] = [];
    const processor = { onStart: () => {}, onEnd: (span: ReadableSpan) => ended.push(span) };
    const attributes = { "valet.llm.cost_usd": 2, "gen_ai.usage.input_tokens": 7 };
    const tracer = new Tracer({ scope: { name: "runner" }, processor });
    const span = tracer.startSpan("chat m", { attributes: { "valet.session.id": SESSION, ...attributes } });
    span.addEvent("paid", attributes);
    span.addLink({ context: span.context, attributes });
    span.end();
    return encodeTraces({ "service.name": "valet-runner" }, ended);
  }

  const isDouble = (span: Stored) => {
    for (const attributes of [span.attributes, span.events?.[0]?.attributes, span.links?.[0]?.attributes]) {
      const values = Object.fromEntries((attributes ?? []).map(({ key, value }) => [key, value]));
      expect(values["valet.llm.cost_usd"]).toEqual({ doubleValue: 2 });
      expect(values["gen_ai.usage.input_tokens"]).toEqual({ intValue: "7" });
    }
  };

  test("are double in spans of a runner, including events and links", () =>
    inStorage((storage) => {
      const store = openStore(storage);
      store.acceptFrames([{ instanceId: "run_1", seq: 1, otlp: paid() }]);
      isDouble(exported(store));
    }));

  test("are double in spans of the Worker and the broker", () =>
    inStorage((storage) => {
      const store = openStore(storage);
      store.acceptSpans(paid());
      isDouble(exported(store));
    }));

  test("are left unchanged when they have another type", () =>
    inStorage((storage) => {
      const store = openStore(storage);
      store.acceptSpans(makeFrame({ attributes: { "valet.llm.cost_usd": "2" } }));
      expect(exported(store).attributes).toContainEqual({ key: "valet.llm.cost_usd", value: { stringValue: "2" } });
    }));

  test("are double in an open span, and when a lost runner's span is sealed", () =>
    inStorage(async (storage) => {
      const store = openStore(storage);
      const open: ReadableSpan[] = [];
      const processor = { onStart: (span: ReadableSpan) => open.push(span), onEnd: () => {} };
      const span = new Tracer({ scope: { name: "runner" }, processor }).startSpan("chat m", {
        attributes: { "valet.session.id": SESSION, "valet.llm.cost_usd": 2 },
      });
      store.announce("run_1", open[0] as ReadableSpan);
      const cost = { key: "valet.llm.cost_usd", value: { doubleValue: 2 } };
      const text = await new Response(store.reader.trace(span.context.traceId)).text();
      expect(JSON.parse(text).resourceSpans[0].scopeSpans[0].spans[0].attributes).toContainEqual(cost);
      store.seal("run_1", "runner_lost");
      expect(exported(store).attributes).toContainEqual(cost);
    }));
});
