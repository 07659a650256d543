import { expect, test } from "vitest";
import { ChildFeeds } from "./child-feeds.ts";
import type { FeedState } from "./feed.ts";

const STATE: FeedState = { traces: [], records: [], traceOf: () => undefined, isReady: true, error: undefined };

test("a child that stays keeps its feed when others come and go, and a child that left has no feed and no state", () => {
  const log: string[] = [];
  const changes = new Map<string, () => void>();
  let states: ReadonlyMap<string, FeedState> = new Map();
  const feeds = new ChildFeeds(
    (id) => ({
      subscribe: (listener) => {
        log.push(`start ${id}`);
        changes.set(id, listener);
        return () => log.push(`stop ${id}`);
      },
      read: () => STATE,
      want: () => undefined,
    }),
    (next) => {
      states = next;
    },
  );
  feeds.show(["a", "b"]);
  for (const change of changes.values()) change();
  expect([...states.keys()]).toEqual(["a", "b"]);
  feeds.show(["b", "c"]);
  expect(log).toEqual(["start a", "start b", "stop a", "start c"]);
  expect([...states.keys()]).toEqual(["b"]);
  feeds.show([]);
  expect(log.slice(4)).toEqual(["stop b", "stop c"]);
  expect(states.size).toBe(0);
});
