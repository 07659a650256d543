import { expect, test } from "vitest";
import { sourcesWith } from "../../../test/sources.ts";
import { Transactions } from "./transactions.ts";

function record() {
  const log: string[] = [];
  const note = (entry: string) => () => {
    log.push(entry);
  };
  const transactions = new Transactions(
    // The storage rolls back by itself; what is shown here is what happens around it.
    { transactionSync: (work) => work() },
    {
      beforeCommit: note("before commit"),
      onCommit: note("committed"),
      onRollback: note("rolled back"),
      report: (error) => log.push(`reported ${(error as Error).message}`),
    },
  );
  return { log, note, transactions };
}

test("effects wait for the commit of the outermost transaction and keep their order", () => {
  const { log, note, transactions } = record();
  transactions.run(() => {
    transactions.afterCommit(note("first"));
    transactions.run(() => transactions.afterCommit(note("second")));
    log.push("work");
  });
  expect(log).toEqual(["work", "before commit", "first", "second", "committed"]);
});

test("effects of beforeCommit run, too", () => {
  const log: string[] = [];
  const transactions: Transactions = new Transactions(
    { transactionSync: (work) => work() },
    {
      beforeCommit: () => transactions.afterCommit(() => log.push("pumped")),
      onCommit: () => {},
      onRollback: () => {},
      report: () => {},
    },
  );
  transactions.run(() => {});
  expect(log).toEqual(["pumped"]);
});

test("a transaction that fails has no effects, and does not affect the next one", () => {
  const { log, note, transactions } = record();
  const fail = () =>
    transactions.run(() => {
      transactions.afterCommit(note("effect"));
      throw new Error("no");
    });
  expect(fail).toThrow("no");
  expect(log).toEqual(["rolled back"]);
  transactions.run(note("work"));
  expect(log).toEqual(["rolled back", "work", "before commit", "committed"]);
});

test("what a transaction changed in memory is undone with it, the last change first, and only with it", () => {
  const { log, note, transactions } = record();
  const fail = () =>
    transactions.run(() => {
      transactions.onRollback(note("undo first"));
      transactions.run(() => transactions.onRollback(note("undo second")));
      throw new Error("no");
    });
  expect(fail).toThrow("no");
  expect(log).toEqual(["undo second", "undo first", "rolled back"]);
  log.length = 0;
  transactions.run(() => transactions.onRollback(note("undo")));
  transactions.onRollback(note("undo"));
  expect(() =>
    transactions.run(() => {
      throw new Error("no");
    }),
  ).toThrow("no");
  expect(log).toEqual(["before commit", "committed", "rolled back"]);
});

test("an effect that fails does not stop the others, and may begin a transaction of its own", () => {
  const { log, note, transactions } = record();
  transactions.run(() => {
    transactions.afterCommit(() => {
      throw new Error("first");
    });
    transactions.afterCommit(() => transactions.run(note("second")));
  });
  expect(log).toEqual(["before commit", "reported first", "second", "before commit", "committed", "committed"]);
});

test("outside a transaction an effect runs at once", () => {
  const { log, note, transactions } = record();
  transactions.afterCommit(note("effect"));
  expect(log).toEqual(["effect"]);
});

test("nothing else begins a transaction", () => {
  expect(sourcesWith(/\b(?:transactionSync|transaction|inTransaction)\(/)).toEqual([
    "core/schema.ts",
    "core/transactions.ts",
  ]);
});
