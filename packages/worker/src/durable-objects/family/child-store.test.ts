import { runInDurableObject } from "cloudflare:test";
import type { ChildSessionAnswer } from "@valet/shared/protocol/child-sessions";
import { expect, test } from "vitest";
import { rowsReadBy, totalOf } from "../../../test/rows-read.ts";
import { TestSession } from "../../../test/session.ts";
import { ChildStore } from "./child-store.ts";

test("of requests that were answered the last ones are remembered, and all that were not", async () => {
  const session = new TestSession();
  await session.create();
  await runInDurableObject(session.stub, (_object, { storage: { sql } }) => {
    const store = new ChildStore(sql);
    const answer: ChildSessionAnswer = { ok: true, sessions: [] };
    store.addRequest("pending", null);
    store.addRequest("first", null);
    store.answerRequest("first", answer);
    for (let i = 0; i < 500; i++) {
      store.addRequest(`spawn ${i}`, null);
      store.answerRequest(`spawn ${i}`, answer);
      store.addRequest(`refused ${i}`, answer);
    }
    const stored = sql.exec("SELECT COUNT(*) AS count FROM child_requests").one();
    expect(stored).toEqual({ count: 201 });
    expect(store.request("pending")).toEqual({ id: "pending", answer: null });
    expect(store.request("first")).toBeUndefined();
    expect(store.request("spawn 499")).toEqual({ id: "spawn 499", answer });
  });
});

test("of many children the newest are found, though ids say nothing about age, and no others are read", async () => {
  const session = new TestSession();
  await session.create();
  await runInDurableObject(session.stub, async (_object, { storage: { sql } }) => {
    const store = new ChildStore(sql);
    const ids = Array.from({ length: 2000 }, (_, n) => `ses_${(n * 7919) % 2000}`);
    for (const id of ids) {
      store.addChild(id, "open", "main");
      store.updateChild(id, { state: "ended" });
    }
    store.addChild(ids[0] as string, "open", "main");
    let newest: string[] = [];
    const read = await rowsReadBy(sql, () => {
      newest = store.newestIds(5);
    });
    expect(newest).toEqual(ids.slice(-5));
    expect(totalOf(read)).toBe(5);
  });
});
