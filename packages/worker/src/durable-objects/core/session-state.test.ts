import { expect, test } from "vitest";
import { inStorage } from "../../../test/in-storage.ts";
import { NEW_SESSION } from "../../../test/session-record.ts";
import { type SessionRecord, SessionState } from "./session-state.ts";
import { Transactions } from "./transactions.ts";

/** The state of a session that has been created, and how often its record was written since. */
const inSession = (
  work: (session: {
    state: SessionState;
    transactions: Transactions;
    writes: () => number;
    stored: () => SessionRecord;
  }) => void,
) =>
  inStorage((storage) => {
    let writes = 0;
    const exec = (query: string, ...values: SqlStorageValue[]) => {
      if (/^(?:INSERT|UPDATE|DELETE)/.test(query)) writes++;
      return storage.sql.exec(query, ...values);
    };
    const state: SessionState = new SessionState({
      sql: { exec } as unknown as SqlStorage,
      now: () => 5,
      onChange: () => {},
      isInTransaction: () => transactions.isRunning,
    });
    const transactions: Transactions = new Transactions(storage, {
      beforeCommit: () => state.store(),
      onCommit: () => {},
      onRollback: () => state.reload(),
      report: () => {},
    });
    transactions.run(() => state.create(NEW_SESSION));
    writes = 0;
    const stored = () => JSON.parse(storage.sql.exec("SELECT record FROM session").one().record as string);
    work({ state, transactions, writes: () => writes, stored });
  });

test("a transaction writes a changed record once, and an unchanged one not at all", () =>
  inSession(({ state, transactions, writes, stored }) => {
    transactions.run(() => {
      state.enter("spawn", { generation: 1 });
      state.updateLink({ state: "connecting" });
      transactions.run(() => state.update({ title: "t" }));
      expect(state.record).toMatchObject({ state: "starting", title: "t" });
      expect(writes()).toBe(0);
    });
    expect(writes()).toBe(1);
    expect(stored()).toEqual(state.record);
    transactions.run(() => {});
    expect(writes()).toBe(1);
  }));

test("a rollback restores the record, also for the next transaction", () =>
  inSession(({ state, transactions, stored }) => {
    const before = state.record;
    const fail = () =>
      transactions.run(() => {
        state.update({ title: "never" });
        throw new Error("no");
      });
    expect(fail).toThrow("no");
    expect(state.record).toEqual(before);
    transactions.run(() => state.update({ generation: 2 }));
    expect(stored()).toEqual({ ...before, generation: 2 });
  }));

test("a change outside a transaction is refused", () =>
  inSession(({ state }) => {
    expect(() => state.update({ title: "lost" })).toThrow("outside a transaction");
    expect(state.record.title).toBeUndefined();
  }));
