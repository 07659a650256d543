import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { ApiError } from "../api/problem.ts";
import { rereads } from "../api/reread.ts";
import type { Message } from "./conversation.ts";
import { type ConversationApi, ConversationStore, type MessagePlace } from "./conversation-store.ts";

const message = (index: number, more: Partial<Message> = {}): Message => ({
  id: `m${index}`,
  status: "done",
  outcome: "ok",
  channel: "main",
  queueMode: "followup",
  source: "user",
  content: "",
  attachments: [],
  attempts: 1,
  acceptedAt: new Date(index * 1000).toISOString(),
  parts: [],
  ...more,
});

/** An API with messages 1 to `count`, in pages of ten. */
function apiWith(count: number) {
  const all = Array.from({ length: count }, (_, index) => message(index + 1));
  const api = {
    all,
    // Cursors: `-n` reads the messages before the nth, the newest first; `+n` those from it on.
    messages: vi.fn(async (place?: MessagePlace) => {
      const from = place !== undefined && "from" in place ? all.findIndex(({ id }) => id === place.from) : undefined;
      const cursor = place !== undefined && "cursor" in place ? place.cursor : `-${all.length}`;
      const isAscending =
        from === undefined ? cursor.startsWith("+") : place !== undefined && "order" in place && place.order === "asc";
      const at = from === undefined ? Number(cursor.slice(1)) : from + (isAscending ? 0 : 1);
      if (isAscending) {
        return { messages: all.slice(at, at + 10), ...(at + 10 < all.length && { nextCursor: `+${at + 10}` }) };
      }
      return {
        messages: all.slice(Math.max(0, at - 10), at).toReversed(),
        ...(at > 10 && { nextCursor: `-${at - 10}` }),
      };
    }),
    message: async (id: string) => all.find((each) => each.id === id),
    workflows: async () => [],
    workflow: async () => Promise.reject(new Error("none")),
    turns: async () => [],
  } satisfies ConversationApi & { all: Message[] };
  return api;
}

const idsOf = (store: ConversationStore) => store.read().conversation.order;
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => `m${from + index}`);
const now = (run: () => void) => run();

test("the newest page comes first, and older ones on demand until there are none", async () => {
  const store = new ConversationStore(apiWith(25), now);
  await store.load();
  expect(idsOf(store).at(0)).toBe("m16");
  expect(store.read()).toMatchObject({ isLoaded: true, older: "more" });
  await store.loadOlder();
  await store.loadOlder();
  expect(idsOf(store)).toHaveLength(25);
  expect(store.read().older).toBe("none");
});

test("after a break it reads as many pages as were missed, and leaves no hole", async () => {
  const api = apiWith(12);
  const store = new ConversationStore(api, now);
  await store.load();
  for (let index = 13; index <= 50; index++) api.all.push(message(index));
  store.hear({ type: "opened", isAgain: true });
  await vi.waitFor(() => expect(idsOf(store)).toHaveLength(48), 20_000);
  expect(store.read().older).toBe("more");
  await store.loadOlder();
  expect(idsOf(store)).toHaveLength(50);
});

test("what happens between the first answer and the socket is read, even if the socket opens before the answer is there", async () => {
  for (const waits of [true, false]) {
    const api = apiWith(0);
    api.all.push(message(1, { status: "queued" }));
    const store = new ConversationStore(api, now);
    const first = store.load();
    if (waits) await first;
    api.all[0] = message(1);
    store.hear({ type: "opened", isAgain: false });
    await vi.waitFor(() => expect(store.read().conversation.messages.get("m1")?.status).toBe("done"), 20_000);
    expect(api.messages).toHaveBeenCalledTimes(2);
  }
});

test("a delta that was lost is read again, once for all that come together", async () => {
  const api = apiWith(0);
  api.all.push(message(1, { status: "accepted", parts: [{ type: "text", id: "p", text: "abc" }] }));
  const store = new ConversationStore(api, (run) => setTimeout(run));
  await store.load();
  api.all[0] = message(1, { status: "accepted", parts: [{ type: "text", id: "p", text: "abcdefghij" }] });
  for (const from of [8, 9]) {
    store.hear({ type: "part-delta", messageId: "m1", delta: { partId: "p", field: "text", from, text: "x" } });
  }
  await vi.waitFor(
    () => expect(store.read().conversation.messages.get("m1")?.parts).toMatchObject([{ text: "abcdefghij" }]),
    20_000,
  );
  expect(api.messages).toHaveBeenCalledTimes(2);
});

test("a read that fails after a break is repeated until it succeeds, and the page knows that it is out of date", async () => {
  const away = new ApiError("Away.", 503);
  const api = apiWith(3);
  const store = new ConversationStore(api, now);
  const stop = store.subscribe(() => undefined);
  await store.load();
  api.all.push(message(4));
  api.messages.mockRejectedValueOnce(away);
  store.hear({ type: "opened", isAgain: true });
  await vi.waitFor(() => expect(rereads.read()).toBe(away));
  await vi.waitFor(() => expect(idsOf(store)).toHaveLength(4), 20_000);
  await vi.waitFor(() => expect(rereads.read()).toBeUndefined());
  api.messages.mockRejectedValueOnce(away);
  await store.load();
  stop();
  expect(rereads.read()).toBeUndefined();
});

test("a failure leaves what was read, says so, and can be tried again", async () => {
  const api = apiWith(25);
  const store = new ConversationStore(api, now);
  api.messages.mockRejectedValueOnce(new Error("away"));
  await store.load();
  expect(store.read()).toMatchObject({ isLoaded: false, error: new Error("away") });
  await store.load();
  expect(store.read()).toMatchObject({ isLoaded: true, error: undefined });
  api.messages.mockRejectedValueOnce(new Error("away"));
  await store.loadOlder();
  expect(store.read().older).toBe("failed");
  expect(idsOf(store)).toHaveLength(10);
  await store.loadOlder();
  expect(idsOf(store)).toHaveLength(20);
});

const gapsOf = (store: ConversationStore) => [...store.read().gaps.keys()];

test("the message of an old link is read with what is around it, and the rest on demand", async () => {
  const api = apiWith(100);
  const store = new ConversationStore(api, now);
  await store.load();
  expect(await store.find("m40")).toBe(true);
  expect(idsOf(store)).toEqual([...range(31, 49), ...range(91, 100)]);
  expect(gapsOf(store)).toEqual(["m49"]);
  expect(api.messages).toHaveBeenCalledTimes(3);
  await store.loadOlder();
  expect(idsOf(store).slice(0, 10)).toEqual(range(21, 30));
  for (let page = 0; page < 4; page++) await store.loadGap(gapsOf(store)[0] ?? "");
  expect(gapsOf(store)).toEqual(["m89"]);
  await store.loadGap("m89");
  expect(gapsOf(store)).toEqual([]);
  expect(idsOf(store)).toEqual(range(21, 100));
});

test("near messages leave no gap, one within a gap splits it, and one that is nowhere is said", async () => {
  const store = new ConversationStore(apiWith(100), now);
  await store.load();
  await store.find("m85");
  expect([idsOf(store)[0], gapsOf(store)]).toEqual(["m76", []]);
  await store.find("m10");
  await store.find("m50");
  expect(gapsOf(store)).toEqual(["m19", "m59"]);
  await store.find("m28");
  // It has what the first gap lacks before it, and begins another.
  expect([gapsOf(store).sort(), store.read().older]).toEqual([["m37", "m59"], "none"]);
  expect(await store.find("nowhere")).toBe(false);
  expect(await store.find("m50")).toBe(true);
});

test("a gap that could not be read stays, and can be tried again", async () => {
  const api = apiWith(100);
  const store = new ConversationStore(api, now);
  await store.load();
  await store.find("m40");
  api.messages.mockRejectedValueOnce(new Error("away"));
  await store.loadGap("m49");
  expect(store.read().gaps.get("m49")?.state).toBe("failed");
  await store.loadGap("m49");
  expect(gapsOf(store)).toEqual(["m59"]);
});

test("whatever is looked for and read, no message is missing without a gap", async () => {
  const step = fc.oneof(fc.integer({ min: 1, max: 120 }), fc.constantFrom("older" as const, "gap" as const));
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
      const store = new ConversationStore(apiWith(120), now);
      await store.load();
      for (const each of steps) {
        if (each === "older") await store.loadOlder();
        else if (each === "gap") await store.loadGap(gapsOf(store)[0] ?? "");
        else await store.find(`m${each}`);
        const numbers = idsOf(store).map((id) => Number(id.slice(1)));
        // Whether what follows a run is there already shows when it is read.
        const holes = numbers.flatMap((number, index) => {
          const next = numbers[index + 1];
          return next !== undefined && next !== number + 1 ? [`m${number}`] : [];
        });
        expect(holes.filter((id) => !store.read().gaps.has(id))).toEqual([]);
        expect(store.read().older).toBe(numbers[0] === 1 ? "none" : "more");
      }
      for (let [gap] = gapsOf(store); gap !== undefined; [gap] = gapsOf(store)) await store.loadGap(gap);
      const all = idsOf(store);
      expect(all).toEqual(range(121 - all.length, 120));
    }),
  );
});
