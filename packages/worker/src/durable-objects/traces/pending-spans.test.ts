/** What a transaction writes of the spans that it records, in SQLite: once, before its commit, and nothing of it after a rollback. */
import { Tracer } from "@valet/shared/tracing";
import { describe, expect, test, vi } from "vitest";
import { inStorage } from "../../../test/in-storage.ts";
import { upgradeFromAd59303 } from "../../../test/old-tables.ts";
import { makeFrame, SESSION, spansOf } from "../../../test/otlp.ts";
import { SessionTracer } from "../core/session-tracer.ts";
import { TraceUsers } from "../core/trace-users.ts";
import { Transactions } from "../core/transactions.ts";
import { TraceStore } from "./trace-store.ts";

function open(storage: DurableObjectStorage) {
  const transactions: Transactions = new Transactions(storage, {
    beforeCommit: () => store.store(),
    onCommit: () => {},
    onRollback: () => store.reload(),
    report: () => {},
  });
  const store: TraceStore = new TraceStore(storage.sql, {
    transact: (work) => transactions.run(work),
    isInTransaction: () => transactions.isRunning,
    sessionId: SESSION,
    resource: { "service.name": "valet-worker" },
    segmentDelayMs: 5000,
    maxBytes: 1e9,
    now: () => 1,
  });
  const tracer = new SessionTracer(
    new Tracer({ scope: { name: "test" }, processor: store }),
    store,
    () => ({
      id: SESSION,
      generation: 1,
      origin: { userId: "ann" },
    }),
    new TraceUsers(storage.sql),
  );
  const rows = (table: string) => storage.sql.exec<{ n: number }>(`SELECT COUNT(*) AS n FROM ${table}`).one().n;
  /** The rows that are written meanwhile. */
  const written = (work: () => void) => {
    const exec = storage.sql.exec.bind(storage.sql);
    let count = 0;
    storage.sql.exec = ((query: string, ...values: SqlStorageValue[]) => {
      const cursor = exec(query, ...values);
      count += cursor.rowsWritten;
      return cursor;
    }) as typeof storage.sql.exec;
    work();
    storage.sql.exec = exec;
    return count;
  };
  return { store, transactions, tracer, rows, written };
}

const wait = { attributes: { "valet.queue.mode": "followup" } } as const;

async function names(store: TraceStore): Promise<string[]> {
  const texts = await Promise.all(
    store.reader.traces().map(({ traceId }) => new Response(store.reader.trace(traceId)).text()),
  );
  return texts
    .flatMap((text) => spansOf(text))
    .map(({ name, endTimeUnixNano }) => `${name}${endTimeUnixNano === undefined ? " open" : ""}`)
    .sort();
}

describe("a transaction", () => {
  test("writes a span that begins and ends in it once, and all that end in it as one row", () =>
    inStorage(async (storage) => {
      const { store, transactions, tracer, rows, written } = open(storage);
      const count = written(() =>
        transactions.run(() => {
          const { context } = tracer.start("valet.queue.wait", wait);
          tracer.change("valet.queue.wait", context, (span) => span.setAttribute("valet.queue.reason", "immediate"));
          tracer.change("valet.queue.wait", context, (span) => span.end());
          tracer.start("valet.queue.wait", wait).end();
        }),
      );
      expect([count, rows("trace_open"), rows("trace_tail")]).toEqual([1, 0, 1]);
      expect(await names(store)).toEqual(["valet.queue.wait", "valet.queue.wait"]);
    }));

  test("writes a span that changes several times once", () =>
    inStorage(async (storage) => {
      const { store, transactions, tracer, written } = open(storage);
      const { context } = transactions.run(() => tracer.start("valet.queue.wait", wait));
      const count = written(() =>
        transactions.run(() => {
          for (const reason of ["immediate", "runner_busy"] as const)
            tracer.change("valet.queue.wait", context, (span) => span.setAttribute("valet.queue.reason", reason));
        }),
      );
      expect(count).toBe(1);
      expect(store.openSpan(context.spanId)?.attributes).toContain("runner_busy");
    }));

  test("stores spans of several resources in one row, and reads and folds them as they were", () =>
    inStorage(async (storage) => {
      const { store, transactions, tracer, rows } = open(storage);
      const { context } = transactions.run(() => tracer.start("valet.queue.wait", wait));
      transactions.run(() => {
        const otlp = makeFrame({ name: "first" }, { name: "wörk \u{1f600}" });
        store.acceptFrames([{ instanceId: "run_1", seq: 1, otlp }]);
        store.acceptFrames([{ instanceId: "run_2", seq: 1, otlp: makeFrame({ name: "theirs" }) }]);
        tracer.change("valet.queue.wait", context, (span) => span.end());
      });
      expect([rows("trace_tail"), rows("trace_open")]).toEqual([1, 0]);
      const expected = ["first", "theirs", "valet.queue.wait", "wörk \u{1f600}"];
      expect(await names(store)).toEqual(expected);
      transactions.run(() => store.fold());
      expect([rows("trace_tail"), rows("trace_segments")]).toEqual([0, 1]);
      expect(await names(store)).toEqual(expected);
      const [{ resourceSpans }] = (await new Response(store.reader.spans()).text())
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line)) as [{ resourceSpans: unknown[] }];
      expect(resourceSpans).toHaveLength(3);
    }));

  test("that is rolled back leaves nothing, also of what the store knows", () =>
    inStorage(async (storage) => {
      const { store, transactions, tracer } = open(storage);
      const { context } = transactions.run(() => tracer.start("valet.queue.wait", wait));
      const fail = () =>
        transactions.run(() => {
          tracer.change("valet.queue.wait", context, (span) => span.end());
          tracer.start("valet.queue.wait", wait).end();
          store.store();
          tracer.start("valet.queue.wait", wait);
          throw new Error("no");
        });
      expect(fail).toThrow("no");
      expect(await names(store)).toEqual(["valet.queue.wait open"]);
      expect([store.dueAtMs(), store.openSpan(context.spanId)?.context.spanId]).toEqual([undefined, context.spanId]);
      transactions.run(() => tracer.change("valet.queue.wait", context, (span) => span.end()));
      transactions.run(() => store.fold());
      expect(await names(store)).toEqual(["valet.queue.wait"]);
    }));

  test("finds what another object has written, and what this one wrote without reading it again", () =>
    inStorage(async (storage) => {
      const { transactions, tracer } = open(storage);
      const { context } = transactions.run(() => tracer.start("valet.queue.wait", wait));
      const read = vi.spyOn(storage.sql, "exec");
      const next = open(storage);
      for (const { tracer: own, transactions: its } of [{ tracer, transactions }, next]) {
        its.run(() => own.change("valet.queue.wait", context, (span) => span.addEvent("seen")));
      }
      expect(read.mock.calls.filter(([query]) => query.startsWith("SELECT span FROM trace_open"))).toHaveLength(1);
      read.mockRestore();
      next.transactions.run(() => next.tracer.change("valet.queue.wait", context, (span) => span.end()));
      const [span] = spansOf(await new Response(next.store.reader.spans()).text());
      expect(span?.events?.map(({ name }) => name)).toEqual(["seen", "seen"]);
    }));

  test("of which a part fails keeps the rest", () =>
    inStorage(async (storage) => {
      const { store, transactions, tracer } = open(storage);
      const effects: string[] = [];
      transactions.run(() => {
        tracer.start("valet.queue.wait", wait).end();
        store.store();
        transactions.afterCommit(() => effects.push("kept"));
        const fail = () =>
          transactions.runPart(() => {
            transactions.afterCommit(() => effects.push("undone"));
            store.acceptFrames([{ instanceId: "run_1", seq: 1, otlp: makeFrame({ name: "undone" }) }]);
            store.store();
            throw new Error("no");
          });
        expect(fail).toThrow("no");
        store.reload();
      });
      expect(effects).toEqual(["kept"]);
      expect(await names(store)).toEqual(["valet.queue.wait"]);
      expect(store.acceptFrames([{ instanceId: "run_1", seq: 1, otlp: makeFrame({ name: "again" }) }])).toEqual(
        new Map([["run_1", 1]]),
      );
      expect(await names(store)).toEqual(["again", "valet.queue.wait"]);
    }));
});

test("the tail of an earlier version is read and folded", () =>
  inStorage(async (storage) => {
    const span = `{"traceId":"${"a".repeat(32)}","spanId":"${"b".repeat(16)}","name":"old","startTimeUnixNano":"1","endTimeUnixNano":"2"}`;
    const summary = `[{"traceId":"${"a".repeat(32)}","name":"old","startUs":1,"endUs":2,"spans":1,"errors":0}]`;
    upgradeFromAd59303(
      storage,
      `INSERT INTO trace_tail VALUES (1, 5, 1, 1, 100, '{"attributes":[]}', '{"name":"old"}', '${summary}', '${span}')`,
    );
    const { store, transactions } = open(storage);
    expect(await names(store)).toEqual(["old"]);
    expect(store.dueAtMs()).toBe(5005);
    transactions.run(() => store.fold());
    expect([await names(store), store.dueAtMs()]).toEqual([["old"], undefined]);
  }));
