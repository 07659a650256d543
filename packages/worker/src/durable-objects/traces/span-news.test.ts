import type { ClientEvent } from "@valet/shared/protocol/client-socket";
import { type SkeletonSpan, spansOfSkeleton } from "@valet/shared/protocol/skeleton-codec";
import { expect, test } from "vitest";
import { inStorage } from "../../../test/in-storage.ts";
import { Transactions } from "../core/transactions.ts";
import { SpanNews, type SpanRow } from "./span-news.ts";

function row(traceId: string, name: string, more: Partial<SkeletonSpan> = {}): SpanRow {
  const spanId = Buffer.from(name.padEnd(8, "_")).toString("hex").slice(0, 16);
  return { traceId, spanId, name, kind: 1, startUs: 5, isError: false, isSealed: false, links: [], ...more };
}

/** Spans of a session with some clients, or none. */
function open(storage: DurableObjectStorage, isEmpty = false) {
  const events: ClientEvent[] = [];
  const transactions: Transactions = new Transactions(storage, {
    beforeCommit: () => {},
    onCommit: () => news.send(),
    onRollback: () => {},
    report: (error) => {
      throw error;
    },
  });
  const clients = { isEmpty, broadcast: (event: ClientEvent) => void events.push(event) };
  const news = new SpanNews({ clients, afterCommit: (effect) => transactions.afterCommit(effect) });
  const told = () =>
    events.map((event) =>
      event.type === "spans"
        ? event.traces.map(({ traceId, chunk }) => [traceId, ...spansOfSkeleton([chunk]).map(({ name }) => name)])
        : event,
    );
  return { news, transactions, events, told };
}

test("a commit sends one event with the last state of each of its spans", () =>
  inStorage((storage) => {
    const { news, transactions, events, told } = open(storage);
    transactions.run(() => {
      news.add(() => [row("a", "one"), row("b", "two")]);
      news.add(() => [row("a", "one", { endUs: 9, outcome: "ok" }), row("a", "three")]);
      expect(events).toEqual([]);
    });
    expect(told()).toEqual([
      [
        ["a", "one", "three"],
        ["b", "two"],
      ],
    ]);
    const [event] = events;
    const chunk = event?.type === "spans" ? event.traces[0]?.chunk : undefined;
    expect(spansOfSkeleton(chunk === undefined ? [] : [chunk])[0]).toMatchObject({ endUs: 9, outcome: "ok" });
    transactions.run(() => {});
    expect(events).toHaveLength(1);
  }));

test("a commit tells of open spans whose ends it has lost, unless they are there again", () =>
  inStorage((storage) => {
    const { news, transactions, events, told } = open(storage);
    const [one, two, three] = [row("a", "one"), row("a", "two"), row("b", "three")];
    transactions.run(() => {
      news.add(() => [one]);
      news.addLost([one, two, three]);
      news.add(() => [two]);
    });
    expect(told()).toEqual([[["a", "two"], ["b"]]]);
    expect(events).toMatchObject([{ traces: [{ lost: [one.spanId] }, { lost: [three.spanId] }] }]);
    transactions.run(() => news.addLost([]));
    expect(events).toHaveLength(1);
  }));

test("spans of a transaction, or of a part of one, that is rolled back are never sent", () =>
  inStorage((storage) => {
    const { news, transactions, told } = open(storage);
    const fail = (traceId: string) => () => {
      news.add(() => [row(traceId, "lost")]);
      throw new Error("no");
    };
    expect(() => transactions.run(fail("a"))).toThrow("no");
    transactions.run(() => {
      news.add(() => [row("b", "kept")]);
      expect(() => transactions.runPart(fail("b"))).toThrow("no");
    });
    expect(told()).toEqual([[["b", "kept"]]]);
  }));

test("without a client nothing is read or sent", () =>
  inStorage((storage) => {
    const { news, transactions, events } = open(storage, true);
    transactions.run(() =>
      news.add(() => {
        throw new Error("read");
      }),
    );
    expect(events).toEqual([]);
  }));

test("spans that cannot be sent are not sent again with every commit", () => {
  const clients = { isEmpty: false, broadcast: () => {} };
  const news = new SpanNews({ clients, afterCommit: (effect) => effect() });
  news.add(() => [row("a", "broken", { links: null as never })]);
  expect(() => news.send()).toThrow(TypeError);
  news.send();
});
