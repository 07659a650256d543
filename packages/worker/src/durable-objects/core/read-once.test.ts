import { runInDurableObject } from "cloudflare:test";
import { expect, test } from "vitest";
import { bindings } from "../../../test/bindings.ts";
import { ReadOnce } from "./read-once.ts";
import { Transactions } from "./transactions.ts";

/** A table of one number, which is read once, and how often it was read. */
function withNumber(
  work: (parts: {
    transactions: Transactions;
    value: () => number;
    set: (n: number) => void;
    reads: () => number;
  }) => void,
): Promise<void> {
  const { SESSION_AGENT } = bindings;
  return runInDurableObject(SESSION_AGENT.get(SESSION_AGENT.newUniqueId()), (_object, { storage }) => {
    const { sql } = storage;
    sql.exec("CREATE TABLE numbers (n INTEGER NOT NULL); INSERT INTO numbers VALUES (1)");
    const transactions = new Transactions(storage, {
      beforeCommit: () => {},
      onCommit: () => {},
      onRollback: () => {},
      report: (error) => {
        throw error;
      },
    });
    const known = new ReadOnce<number>(transactions);
    let reads = 0;
    work({
      transactions,
      value: () =>
        known.get("", () => {
          reads++;
          return sql.exec("SELECT n FROM numbers").one().n as number;
        }),
      set: (n) => {
        sql.exec("UPDATE numbers SET n = ?", n);
        known.forget();
      },
      reads: () => reads,
    });
  });
}

const failing = (work: () => void) => () => {
  work();
  throw new Error("no");
};

test("a transaction reads a row once, and again after it wrote it", () =>
  withNumber(({ transactions, value, set, reads }) => {
    transactions.run(() => {
      expect([value(), value(), reads()]).toEqual([1, 1, 1]);
      set(2);
      expect([value(), value(), reads()]).toEqual([2, 2, 2]);
    });
    expect([value(), reads()]).toEqual([2, 2]);
    transactions.run(() => expect([value(), reads()]).toEqual([2, 3]));
  }));

test("what a transaction wrote and read is forgotten with its rollback", () =>
  withNumber(({ transactions, value, set }) => {
    const work = failing(() => {
      set(2);
      expect(value()).toBe(2);
    });
    expect(() => transactions.run(work)).toThrow("no");
    expect(value()).toBe(1);
  }));

test("what a part of a transaction wrote and read is forgotten with the part's rollback", () =>
  withNumber(({ transactions, value, set }) => {
    transactions.run(() => {
      set(2);
      const part = failing(() => {
        set(3);
        expect(value()).toBe(3);
      });
      expect(() => transactions.runPart(part)).toThrow("no");
      expect(value()).toBe(2);
    });
    expect(value()).toBe(2);
  }));
