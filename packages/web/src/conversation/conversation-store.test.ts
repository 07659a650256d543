import { expect, test, vi } from "vitest";
import type { Message } from "./conversation.ts";
import { type ConversationApi, ConversationStore } from "./conversation-store.ts";

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
    messages: vi.fn(async (cursor: string | undefined) => {
      const before = cursor === undefined ? all.length : Number(cursor);
      const page = all.slice(Math.max(0, before - 10), before).toReversed();
      return { messages: page, ...(before > 10 && { nextCursor: String(before - 10) }) };
    }),
    workflows: async () => [],
    workflow: async () => Promise.reject(new Error("none")),
    turns: async () => ({ turns: [] }),
  } satisfies ConversationApi & { all: Message[] };
  return api;
}

const idsOf = (store: ConversationStore) => store.read().conversation.order;
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
  await vi.waitFor(() => expect(idsOf(store)).toHaveLength(48));
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
    await vi.waitFor(() => expect(store.read().conversation.messages.get("m1")?.status).toBe("done"));
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
  await vi.waitFor(() =>
    expect(store.read().conversation.messages.get("m1")?.parts).toMatchObject([{ text: "abcdefghij" }]),
  );
  expect(api.messages).toHaveBeenCalledTimes(2);
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

test("a message of an old link is found on an older page; one that is nowhere ends the search", async () => {
  const store = new ConversationStore(apiWith(45), now);
  await store.load();
  await store.find("m12");
  expect(idsOf(store).at(0)).toBe("m6");
  await store.find("nowhere");
  expect(store.read().older).toBe("none");
});
