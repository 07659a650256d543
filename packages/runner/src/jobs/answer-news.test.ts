import type { MessagePart } from "@valet/shared/protocol/message-part";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { AnswerNews } from "./answer-news.ts";

const INTERVAL_MS = 100;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** An answer whose texts grow, and the updates that were sent: `part:text@ms`. */
function answer() {
  const texts = new Map<string, string>();
  const told: string[] = [];
  let nowMs = 0;
  const read = (id: string): MessagePart => ({ type: "text", id, text: texts.get(id) ?? "" });
  const news = new AnswerNews(INTERVAL_MS, (part) => told.push(`${part.id}:${"text" in part && part.text}@${nowMs}`));
  const wait = (ms: number) => {
    for (let passed = 0; passed < ms; passed++) {
      nowMs++;
      vi.advanceTimersByTime(1);
    }
  };
  const grow = (id: string, text: string) => {
    texts.set(id, `${texts.get(id) ?? ""}${text}`);
    news.changed(id, read);
  };
  return { news, told, wait, grow, texts };
}

test("the first words of a part are sent immediately, then one update per interval, and the end in time", () => {
  const { told, wait, grow } = answer();
  grow("a", "One");
  expect(told).toEqual(["a:One@0"]);
  wait(10);
  grow("a", ", two");
  wait(10);
  grow("a", ", three");
  expect(told).toHaveLength(1);
  wait(80);
  expect(told).toEqual(["a:One@0", "a:One, two, three@100"]);
  wait(99);
  grow("a", ".");
  expect(told).toHaveLength(2);
  wait(1);
  expect(told.at(-1)).toBe("a:One, two, three.@200");
});

test("a part without updates for an interval is sent immediately again", () => {
  const { told, wait, grow } = answer();
  grow("a", "One");
  wait(INTERVAL_MS);
  grow("a", " two");
  expect(told).toEqual(["a:One@0", "a:One two@100"]);
});

test("an empty part does not delay its first words", () => {
  const { told, wait, grow } = answer();
  grow("a", "");
  wait(1);
  grow("a", "One");
  expect(told).toEqual(["a:One@1"]);
});

test("a part does not wait for another part that was just sent", () => {
  const { told, wait, grow } = answer();
  grow("thought", "Hm");
  wait(1);
  grow("a", "One");
  expect(told).toEqual(["thought:Hm@0", "a:One@1"]);
});

test("the start and the end of a tool call are sent at once, and its other changes once per interval", () => {
  const told: string[] = [];
  let call = { type: "tool", id: "t", tool: "bash", status: "pending", title: "" } as MessagePart & { type: "tool" };
  const news = new AnswerNews(INTERVAL_MS, (part) =>
    told.push(`${"status" in part && `${part.status} ${part.title}`}`),
  );
  const change = (more: Partial<typeof call>) => {
    call = { ...call, ...more };
    news.changed("t", () => call);
  };
  change({});
  change({ status: "running" });
  change({ title: "make" });
  expect(told).toEqual(["pending ", "running "]);
  change({ status: "completed" });
  expect(told).toEqual(["pending ", "running ", "completed make"]);
  // It has ended, so what follows is no progress, however often it changes.
  change({ status: "running" });
  change({ status: "error", title: "last" });
  expect(told).toHaveLength(3);
  vi.advanceTimersByTime(INTERVAL_MS);
  expect(told.slice(3)).toEqual(["error last"]);
  vi.advanceTimersByTime(INTERVAL_MS);
  expect([told.length, vi.getTimerCount()]).toEqual([4, 0]);
});

test("a flush sends pending changes once, and nothing else", () => {
  const { news, told, wait, grow } = answer();
  grow("a", "One");
  grow("b", "Two");
  grow("a", " more");
  news.flush();
  expect(told).toEqual(["a:One@0", "b:Two@0", "a:One more@0"]);
  news.flush();
  wait(10 * INTERVAL_MS);
  expect(told).toHaveLength(3);
  expect(vi.getTimerCount()).toBe(0);
});

test("in any sequence: at most one update of a part per interval, none later than one, and the last is complete", () => {
  const steps = fc.array(
    fc.oneof(
      fc.record({ part: fc.constantFrom("a", "b", "c"), text: fc.constantFrom("", "x", "yy") }),
      fc.record({ waitMs: fc.integer({ min: 1, max: 250 }) }),
    ),
    { maxLength: 60 },
  );
  fc.assert(
    fc.property(steps, (course) => {
      const { told, wait, grow, texts } = answer();
      for (const step of course) {
        if ("waitMs" in step) wait(step.waitMs);
        else grow(step.part, step.text);
      }
      wait(INTERVAL_MS);
      for (const [id, text] of texts) {
        const updates = told.filter((each) => each.startsWith(`${id}:`));
        const times = updates.map((each) => Number(each.split("@")[1]));
        for (const [index, ms] of times.slice(1).entries())
          expect(ms - (times[index] ?? 0)).toBeGreaterThanOrEqual(100);
        if (text !== "") expect(updates.at(-1)).toMatch(new RegExp(`^${id}:${text}@`));
      }
    }),
    { numRuns: 200 },
  );
});
