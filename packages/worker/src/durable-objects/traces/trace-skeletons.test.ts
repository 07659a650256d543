import { type SkeletonSpan, spansOfSkeleton } from "@valet/shared/protocol/skeleton-codec";
import { type SkeletonChunk, TraceSkeleton } from "@valet/shared/protocol/trace-skeleton";
import { encodeTraces, type ReadableSpan, type Span, serialiseSpan, Tracer } from "@valet/shared/tracing";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { inStorage } from "../../../test/in-storage.ts";
import { upgradeFromAd59303 } from "../../../test/old-tables.ts";
import { SESSION, spansOf, type WireSpan } from "../../../test/otlp.ts";
import { segmentAfter } from "./segment-cursor.ts";
import { TraceStore } from "./trace-store.ts";

function open(storage: DurableObjectStorage) {
  const store = new TraceStore(storage.sql, {
    transact: (work) => storage.transactionSync(work),
    sessionId: SESSION,
    resource: { "service.name": "valet-worker" },
    segmentDelayMs: 5000,
    maxBytes: 1e9,
    now: () => 1_800_000_000_000,
  });
  const tracer = new Tracer({ scope: { name: "test" }, processor: store });
  return { store, tracer, skeletons: store.reader.skeletons };
}

/** A runner's tracer, and the frames of what it records. */
function runner(store: TraceStore) {
  const ended: ReadableSpan[] = [];
  const tracer = new Tracer({
    scope: { name: "@valet/runner" },
    processor: { onStart: () => {}, onEnd: (span) => ended.push(span) },
  });
  let seq = 0;
  const send = (announced: readonly unknown[] = []) => {
    const otlp = encodeTraces({ "service.name": "valet-runner" }, ended.splice(0));
    const texts = announced.map((span) => serialiseSpan(span as ReadableSpan));
    store.acceptFrames([{ instanceId: "run_1", seq: ++seq, otlp, open: texts }]);
  };
  return { tracer, send };
}

const ATTRIBUTES = { "valet.session.id": SESSION };

function read(store: TraceStore, traceId: string, after?: number) {
  const answer = store.reader.skeletons.read(traceId, after);
  if (answer === undefined) throw new Error("no such trace");
  return { ...answer, skeleton: TraceSkeleton.parse(JSON.parse(answer.text)) };
}

async function fullTrace(store: TraceStore, traceId: string): Promise<WireSpan[]> {
  return spansOf(await new Response(store.reader.trace(traceId)).text());
}

/** What a skeleton must have of a span of the full trace. */
function boneOf(span: WireSpan): SkeletonSpan {
  const text = (attributes: WireSpan["attributes"], key: string) =>
    attributes?.find((each) => each.key === key)?.value.stringValue as string | undefined;
  const us = (nanos: string) => Number(BigInt(nanos) / 1000n);
  const isEnded = span.endTimeUnixNano !== undefined;
  return {
    spanId: span.spanId,
    parentSpanId: span.parentSpanId,
    name: span.name,
    kind: span.kind,
    startUs: us(span.startTimeUnixNano),
    endUs: isEnded ? us(span.endTimeUnixNano as string) : undefined,
    outcome: text(span.attributes, "valet.outcome") as SkeletonSpan["outcome"],
    isError: span.status.code === 2,
    isSealed: isEnded && (span.attributes ?? []).some(({ key }) => key === "valet.last_seen_ms"),
    lastSeenMs: isEnded ? figure(span.attributes, "valet.last_seen_ms") : undefined,
    usage: usageOf(span),
    ...(isEnded && lacksCost(span) && { isCostPartial: true }),
    links: (span.links ?? []).map((link) => ({
      traceId: link.traceId,
      spanId: link.spanId,
      type: text(link.attributes, "valet.link.type"),
    })),
  };
}

function figure(attributes: WireSpan["attributes"], key: string): number | undefined {
  const value = attributes?.find((each) => each.key === key)?.value;
  const text = value?.intValue ?? value?.doubleValue;
  return text === undefined ? undefined : Number(text);
}

function usageOf({ name, attributes }: WireSpan): SkeletonSpan["usage"] {
  const [input, cached, costUsd] = [
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.cache_read.input_tokens",
    "valet.llm.cost_usd",
  ].map((key) => figure(attributes, key));
  const isKnown = name.startsWith("chat ") && (input !== undefined || costUsd !== undefined);
  return isKnown ? { input, cached, costUsd } : undefined;
}

function lacksCost({ name, attributes = [] }: WireSpan): boolean {
  const has = (key: string) => attributes.some((each) => each.key === key);
  if (name === "valet.llm.try") return !attributes.some(({ value }) => value.stringValue === "ok");
  const isWhole =
    has("gen_ai.usage.input_tokens") && has("gen_ai.usage.output_tokens") && !has("valet.llm.cost_partial");
  return has("valet.llm.cost_usd") && !isWhole;
}

const byId = (a: SkeletonSpan, b: SkeletonSpan) => (a.spanId < b.spanId ? -1 : 1);

/** What model calls report: all, a part, nothing. */
const USAGES = [
  { "gen_ai.usage.input_tokens": 8200, "gen_ai.usage.cache_read.input_tokens": 8000, "valet.llm.cost_usd": 0.0125 },
  { "gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 5, "valet.llm.cost_usd": 0.5 },
  {
    "gen_ai.usage.input_tokens": 9,
    "gen_ai.usage.output_tokens": 5,
    "valet.llm.cost_usd": 0.5,
    "valet.llm.cost_partial": true,
  },
  { "gen_ai.usage.input_tokens": 12 },
  {},
] as const;

type Step = "begin" | "end" | "own" | "fold" | "lose";

test("whatever happens, a skeleton has every span of its trace, as the trace itself has it", async () => {
  const steps = fc.array(fc.constantFrom<Step>("begin", "begin", "end", "own", "fold", "lose"), { maxLength: 30 });
  await fc.assert(
    fc.asyncProperty(steps, (each) =>
      inStorage(async (storage) => {
        const { store, tracer } = open(storage);
        const theirs = runner(store);
        const root = tracer.startSpan("valet.prompt", { attributes: ATTRIBUTES });
        const { traceId } = root.context;
        const begun: Span[] = [];
        for (const step of each) {
          if (step === "begin") {
            const links = [{ context: root.context, attributes: { "valet.link.type": "follows" } }];
            const span = theirs.tracer.startSpan(begun.length % 3 === 2 ? "valet.llm.try" : `chat ${begun.length}`, {
              parent: begun.at(-1) ?? root,
              attributes: ATTRIBUTES,
              links,
            });
            begun.push(span);
            theirs.send([span]);
          } else if (step === "end") {
            const span = begun.pop();
            span?.setAttributes({ "valet.outcome": "ok", ...USAGES[begun.length % USAGES.length] });
            span?.end();
            theirs.send();
          } else if (step === "own") {
            tracer
              .startSpan("valet.queue.wait", {
                parent: root,
                attributes: { ...ATTRIBUTES, "valet.outcome": "aborted" },
              })
              .end();
          } else if (step === "fold") store.fold();
          else store.seal("run_1", "runner_lost");
        }
        const expected = (await fullTrace(store, traceId)).map(boneOf).sort(byId);
        expect(spansOfSkeleton(read(store, traceId).skeleton.chunks).sort(byId)).toEqual(expected);
        for (const { spanId } of expected) {
          expect(spansOf(store.reader.span(traceId, spanId)).map(boneOf)).toEqual(
            expected.filter((span) => span.spanId === spanId),
          );
        }
      }),
    ),
    { numRuns: 40 },
  );
});

/** A trace of three segments with a span each, an ended span in the tail and an open one. */
function makeTrace(store: TraceStore, tracer: Tracer) {
  const root = tracer.startSpan("valet.prompt", { attributes: ATTRIBUTES });
  const child = (name: string) => tracer.startSpan(name, { parent: root, attributes: ATTRIBUTES }).end();
  for (const name of ["first", "second", "third"]) {
    child(name);
    store.fold();
  }
  child("in the tail");
  return { root, child, traceId: root.context.traceId };
}

const namesOf = (chunks: readonly SkeletonChunk[]) =>
  spansOfSkeleton(chunks)
    .map(({ name }) => name)
    .sort();

describe("a reader", () => {
  test("who has a skeleton gets what is new, and what may still change", () =>
    inStorage((storage) => {
      const { store, tracer } = open(storage);
      const { root, child, traceId } = makeTrace(store, tracer);
      const first = read(store, traceId);
      expect(namesOf(first.skeleton.chunks)).toEqual(["first", "in the tail", "second", "third", "valet.prompt"]);
      expect(first.skeleton.isComplete).toBe(true);
      const list = { sessionId: SESSION, what: "skeleton", traceId } as const;
      const after = segmentAfter(list, first.skeleton.next);
      expect(after).toBeGreaterThan(0);
      store.fold();
      child("new");
      root.end();
      const second = read(store, traceId, after);
      expect(namesOf(second.skeleton.chunks)).toEqual(["in the tail", "new", "valet.prompt"]);
      const all = spansOfSkeleton([...first.skeleton.chunks, ...second.skeleton.chunks]).sort(byId);
      expect(all).toEqual(spansOfSkeleton(read(store, traceId).skeleton.chunks).sort(byId));
      expect(all.every(({ endUs }) => endUs !== undefined)).toBe(true);
    }));

  test("sees by the tag whether anything has changed", () =>
    inStorage((storage) => {
      const { store, tracer } = open(storage);
      const { root, child, traceId } = makeTrace(store, tracer);
      const tags = [read(store, traceId).etag];
      const changed = () => tags.push(read(store, traceId).etag);
      expect(read(store, traceId).etag).toBe(tags[0]);
      child("another");
      changed();
      store.fold();
      changed();
      root.setAttribute("valet.outcome", "ok");
      store.onStart(root as unknown as ReadableSpan);
      changed();
      root.end();
      changed();
      expect(new Set(tags).size).toBe(5);
      tracer.startSpan("of another trace", { attributes: ATTRIBUTES }).end();
      expect(read(store, traceId).etag).toBe(tags.at(-1));
    }));

  test("of an unknown trace or span gets nothing", () =>
    inStorage((storage) => {
      const { store, tracer, skeletons } = open(storage);
      const { traceId } = makeTrace(store, tracer);
      expect(skeletons.read("a".repeat(32))).toBeUndefined();
      expect(store.reader.span(traceId, "a".repeat(16))).toBeUndefined();
      expect(store.reader.span("a".repeat(32), "a".repeat(16))).toBeUndefined();
    }));
});

test("segments of an earlier version have skeletons, too", () =>
  inStorage(async (storage) => {
    upgradeFromAd59303(storage);
    const { store, tracer } = open(storage);
    const { traceId } = makeTrace(store, tracer);
    const expected = namesOf(read(store, traceId).skeleton.chunks);
    storage.sql.exec("UPDATE trace_index SET skeleton = NULL");
    expect(namesOf(read(store, traceId).skeleton.chunks)).toEqual(expected);
    const second = (await fullTrace(store, traceId)).find(({ name }) => name === "second") as WireSpan;
    expect(spansOf(store.reader.span(traceId, second.spanId))).toEqual([second]);
  }));

describe("a search", () => {
  const search = (store: TraceStore, traceId: string, query: string) => {
    const { spanIds } = store.reader.search(traceId, query);
    const all = spansOfSkeleton(read(store, traceId).skeleton.chunks);
    return spanIds.map((id) => all.find(({ spanId }) => spanId === id)?.name).sort();
  };

  test("finds parts of names and attributes in segments, in the tail and in open spans", () =>
    inStorage((storage) => {
      const { store, tracer } = open(storage);
      const root = tracer.startSpan("valet.prompt", { attributes: { ...ATTRIBUTES, "valet.message.id": "msg_1" } });
      const { traceId } = root.context;
      const child = (name: string, attributes: Record<string, string | number | boolean | string[]>) =>
        tracer.startSpan(name, { parent: root, attributes: { ...ATTRIBUTES, ...attributes } }).end();
      child("execute_tool bash", { "gen_ai.tool.name": "bash", "valet.tool.output_length": 42 });
      store.fold();
      child('chat "Äpfel"', { "gen_ai.request.model": 'a/"b"', "gen_ai.response.finish_reasons": ["stop"] });
      const found = (query: string) => search(store, traceId, query);
      expect(found("BASH")).toEqual(["execute_tool bash"]);
      expect(found("output_length=42")).toEqual(["execute_tool bash"]);
      expect(found("output_length=43")).toEqual([]);
      expect(found("äpfel")).toEqual(['chat "Äpfel"']);
      expect(found('model=a/"b"')).toEqual(['chat "Äpfel"']);
      expect(found("stop")).toEqual(['chat "Äpfel"']);
      expect(found("message.id=msg_1")).toEqual(["valet.prompt"]);
      expect(found("valet.session.id=")).toHaveLength(3);
      expect(store.reader.search("a".repeat(32), "bash")).toEqual({ spanIds: [] });
    }));

  test.each([
    // The last letter of a Greek word has two lower-case forms.
    ["ΟΔΟΣ", ["ΟΔΟΣΗΜΑ", "οδος", "ΟΔΟΣ 7"], ["ΟΔΟ"]],
    ["straße", ["STRASSE", "Straße"], ["STRASE"]],
    ["\u212a", ["km 3", "KM 3"], ["cm 3"]],
    ["istanbul", ["ISTANBUL"], ["İSTANBUL"]],
    ["100%", ["is 100% done"], ["is 100 done"]],
    ["a_b", ["a_b"], ["axb"]],
    ["\\n", ["C:\\new"], ["C:\nnew"]],
    ["'; --", ["x'; --"], ["x"]],
    ["\u0007", ["a\u0007"], ["a"]],
  ])("takes %j as it is, whatever its case", (query, names, others) =>
    inStorage((storage) => {
      const { store, tracer } = open(storage);
      const root = tracer.startSpan("valet.prompt", { attributes: ATTRIBUTES });
      const { traceId } = root.context;
      for (const name of [...names, ...others]) {
        tracer.startSpan(name, { parent: root, attributes: ATTRIBUTES }).end();
        tracer.startSpan("attribute", { parent: root, attributes: { ...ATTRIBUTES, text: name } }).end();
        store.fold();
      }
      const found = names.flatMap((name) => [name, "attribute"]).sort();
      expect(search(store, traceId, query)).toEqual(found);
    }),
  );
});
