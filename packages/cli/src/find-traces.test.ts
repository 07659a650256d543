import type { TraceSummaryView } from "@valet/shared/protocol/session-api";
import { expect, test, vi } from "vitest";
import { findTraces } from "./find-traces.ts";

/** Traces of one second each, the newest first, ten a page; every `nth` has an error. */
function apiWith(count: number, nth = 1) {
  const all = Array.from({ length: count }, (_, i): TraceSummaryView => {
    const startedAt = new Date(1_000_000 - i * 1000).toISOString();
    return { traceId: String(i), startedAt, duration_ms: 1, spans: 1, openSpans: 0, errors: i % nth === 0 ? 1 : 0 };
  });
  return {
    tracePage: vi.fn(async (_id: string, cursor = "0") => {
      const next = Number(cursor) + 10;
      return { traces: all.slice(Number(cursor), next), ...(next < count && { nextCursor: String(next) }) };
    }),
  };
}
const idsOf = ({ traces }: { traces: readonly TraceSummaryView[] }) => traces.map(({ traceId }) => traceId);

test("pages are read until there are enough", async () => {
  const api = apiWith(100);
  expect(await findTraces(api, "s", {}, 3)).toMatchObject({ hasMore: true, lookedAt: undefined });
  expect(api.tracePage).toHaveBeenCalledTimes(1);
  const few = await findTraces(apiWith(3), "s", {}, 3);
  expect([idsOf(few), few.hasMore]).toEqual([["0", "1", "2"], false]);
});

test("a filter reads on, and a time ends the search", async () => {
  const found = await findTraces(apiWith(100, 15), "s", { errors: true }, 3);
  expect([idsOf(found), found.hasMore]).toEqual([["0", "15", "30"], true]);
  const api = apiWith(100, 15);
  expect(idsOf(await findTraces(api, "s", { errors: true, sinceMs: 980_000 }, 9))).toEqual(["0", "15"]);
  expect(api.tracePage).toHaveBeenCalledTimes(3);
});

test("a filter that nothing passes does not read the whole list of a long session, and says so", async () => {
  const api = apiWith(5000);
  expect(await findTraces(api, "s", { open: true }, 9)).toEqual({ traces: [], hasMore: false, lookedAt: 2000 });
  expect(api.tracePage).toHaveBeenCalledTimes(200);
});
