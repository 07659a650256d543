// Which spans link to a trace, of any age: in segments, in the tail, open, and in segments from before the index of links.
import type { Backlink } from "@valet/shared/protocol/session-api";
import { type SpanContext, Tracer } from "@valet/shared/tracing";
import fc from "fast-check";
import { expect, test } from "vitest";
import { inStorage } from "../../../test/in-storage.ts";
import { SESSION } from "../../../test/otlp.ts";
import { rowsReadBy, totalOf } from "../../../test/rows-read.ts";
import { SESSION_MIGRATIONS } from "../session-schema.ts";
import { segmentAfter } from "./segment-cursor.ts";
import { TraceStore } from "./trace-store.ts";

const [T1, T2] = ["1".repeat(32), "2".repeat(32)] as const;
const spanIdOf = (number: number) => number.toString(16).padStart(16, "0");

function contextOf(traceId: string, number: number): SpanContext {
  return { traceId, spanId: spanIdOf(number), traceFlags: 1, traceState: "", isRemote: true };
}

function open(storage: DurableObjectStorage, maxBytes = 1e9) {
  const store = new TraceStore(storage.sql, {
    transact: (work) => storage.transactionSync(work),
    sessionId: SESSION,
    resource: { "service.name": "valet-worker" },
    segmentDelayMs: 5000,
    maxBytes,
    now: () => 1_800_000_000_000,
  });
  const tracer = new Tracer({ scope: { name: "test" }, processor: store });
  /** Begins a span that links to others. */
  const begin = (name: string, ...targets: SpanContext[]) =>
    tracer.startSpan(name, {
      links: targets.map((context) => ({ context, attributes: { "valet.link.type": "caused_by" } })),
    });
  return { store, tracer, begin };
}

/** Returns all links to a trace, and the number of pages. */
function readAll(store: TraceStore, traceId: string): { all: Backlink[]; pages: number } {
  const all: Backlink[] = [];
  let after: number | undefined = 0;
  for (let pages = 1; ; pages++) {
    const page = store.readBacklinks(traceId, after);
    all.push(...page.backlinks);
    if (page.nextCursor === undefined) return { all, pages };
    after = segmentAfter({ sessionId: SESSION, what: "backlinks", traceId }, page.nextCursor);
    if (after === undefined) throw new Error("the cursor is not one of this list");
  }
}

const namesOf = (store: TraceStore, traceId: string) => readAll(store, traceId).all.map(({ name }) => name);

/** Makes the stored segments those of a version without the index. */
function forgetIndex(sql: SqlStorage): void {
  sql.exec("DROP TABLE trace_links");
  sql.exec("DROP TABLE trace_links_fill");
  SESSION_MIGRATIONS.find(({ name }) => name === "traceLinks")?.(sql);
}

test("a link is found while its span is open, in the tail and in a segment, once each", () =>
  inStorage((storage) => {
    const { store, tracer, begin } = open(storage);
    const span = begin("restore", contextOf(T1, 7), contextOf(T1, 8), contextOf(T2, 9));
    const { traceId, spanId } = span.context;
    const from = { traceId, spanId, name: "restore", startedAt: expect.stringMatching(/Z$/), type: "caused_by" };
    const check = () => {
      const all = [
        { ...from, targetSpanId: spanIdOf(7) },
        { ...from, targetSpanId: spanIdOf(8) },
      ];
      expect(readAll(store, T1)).toEqual({ all, pages: 1 });
    };
    check();
    span.end();
    check();
    store.fold();
    check();
    expect(readAll(store, T2).all).toEqual([{ ...from, targetSpanId: spanIdOf(9) }]);
    expect(readAll(store, traceId).all).toEqual([]);
    tracer.startSpan("untyped", { links: [{ context: contextOf(T2, 1), attributes: {} }] }).end();
    expect(readAll(store, T2).all.at(-1)).not.toHaveProperty("type");
  }));

test("what a transaction that is rolled back has stored is forgotten with its links", () =>
  inStorage((storage) => {
    const { store, begin } = open(storage);
    begin("kept", contextOf(T1, 1)).end();
    store.fold();
    expect(() =>
      storage.transactionSync(() => {
        begin("lost", contextOf(T1, 2)).end();
        store.fold();
        throw new Error("rolled back");
      }),
    ).toThrow("rolled back");
    store.reload();
    expect(namesOf(store, T1)).toEqual(["kept"]);
  }));

test("whatever is written, folded, deleted and of an earlier version, each link of a stored span is found once, in order", async () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.array(fc.constantFrom(T1, T2), { maxLength: 3 }) },
    { weight: 2, arbitrary: fc.constantFrom("fold" as const, "delete" as const) },
    { weight: 1, arbitrary: fc.constant("forget" as const) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), (steps) =>
      inStorage((storage) => {
        const { store, begin } = open(storage);
        let [written, tail]: [{ name: string; targets: string[] }[][], { name: string; targets: string[] }[]] = [
          [],
          [],
        ];
        for (const [index, each] of steps.entries()) {
          if (typeof each !== "string") {
            begin(`${index}`, ...each.map((traceId) => contextOf(traceId, index + 1))).end();
            tail.push({ name: `${index}`, targets: each });
          } else if (each === "fold") {
            store.fold();
            if (tail.length > 0) written.push(tail);
            tail = [];
          } else if (each === "delete") {
            storage.transactionSync(() => store.segments.deleteOldest());
            if (written.length > 1) written = written.slice(1);
          } else {
            forgetIndex(storage.sql);
          }
        }
        for (const target of [T1, T2]) {
          const expected = [...written, tail].flat().flatMap(({ name, targets }) => {
            return targets.filter((each) => each === target).map(() => name);
          });
          expect(namesOf(store, target)).toEqual(expected);
        }
        expect(storage.sql.exec("SELECT 1 FROM trace_links_fill").toArray()).toEqual([]);
      }),
    ),
    { numRuns: 60 },
  );
});

test("segments of an earlier version are added in bounded steps, each once, while others arrive", () =>
  inStorage((storage) => {
    const { store, begin } = open(storage);
    for (let index = 0; index < 120; index++) {
      begin(`${index}`, contextOf(index % 40 === 0 ? T1 : T2, 1)).end();
      store.fold();
    }
    const before = readAll(store, T1);
    expect(before.pages).toBe(1);
    forgetIndex(storage.sql);
    begin("new", contextOf(T1, 2)).end();
    store.fold();
    const first = store.readBacklinks(T1);
    expect(first.backlinks.map(({ name }) => name)).toEqual(["0", "40"]);
    expect(first.nextCursor).toBeDefined();
    // Another reader goes on where this one has ended, and each sees everything.
    expect(readAll(store, T1)).toMatchObject({ pages: 2 });
    expect(namesOf(store, T1)).toEqual(["0", "40", "80", "new"]);
    expect(readAll(store, T1).pages).toBe(1);
    expect(namesOf(store, T2)).toHaveLength(117);
  }));

test("a page reads the segments that have links to the trace, whatever the number of others", () =>
  inStorage(async (storage) => {
    const { store, begin } = open(storage);
    for (let index = 0; index < 60; index++) {
      begin(`${index}`, contextOf(index === 30 ? T1 : T2, 1)).end();
      store.fold();
    }
    const read = await rowsReadBy(storage.sql, () => expect(namesOf(store, T1)).toEqual(["30"]));
    expect(totalOf(read)).toBeLessThanOrEqual(6);
  }));

test("more links than a page holds are read page by page, each once", () =>
  inStorage((storage) => {
    const { store, begin } = open(storage);
    for (let index = 0; index < 230; index++) {
      begin(`${index}`, contextOf(T1, 1)).end();
      store.fold();
    }
    const { all, pages } = readAll(store, T1);
    expect([all.map(({ name }) => name), pages]).toEqual([Array.from({ length: 230 }, (_, index) => `${index}`), 2]);
  }));
