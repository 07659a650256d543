import { expect, test } from "vitest";
import { backendUrl } from "./backend-url.ts";
import { neighboursOf } from "./neighbours.ts";
import { parseTraceSearch } from "./trace-search.ts";

test.each([
  ["https://grafana.example/explore?t={traceId}", "https://grafana.example/explore?t=abc", "Grafana"],
  ["http://127.0.0.1:16686/trace/{traceId}", "http://127.0.0.1:16686/trace/abc", "127.0.0.1:16686"],
])("the address of a trace by %s", (template, href, name) => {
  expect(backendUrl(template, "abc")).toEqual({ href, name });
});

test.each([undefined, "", "javascript:alert(1)//{traceId}", "data:text/html,{traceId}", "/trace/{traceId}"])(
  "no address by %s",
  (template) => {
    expect(backendUrl(template, "abc")).toBeUndefined();
  },
);

test("the URL says which span is selected and what is searched for, and nothing else", () => {
  expect(parseTraceSearch({ span: "00000000000000ab", q: 12, x: 1 })).toEqual({ span: "00000000000000ab", q: "12" });
  expect(parseTraceSearch({ span: "<img>", q: "" })).toEqual({});
});

test("the traces that are nearest in time are asked for links, the largest are not", () => {
  const at = (traceId: string, second: number, spans = 10) => ({
    traceId,
    startedAt: new Date(1_700_000_000_000 + second * 1000).toISOString(),
    duration_ms: 1_000,
    spans,
  });
  const traces = [at("far", 500), at("near", 12), at("own", 10), at("before", 8.5), at("huge", 10, 50_000)];
  expect(neighboursOf("own", traces)).toEqual(["before", "near", "far"]);
  expect(neighboursOf("unknown", traces)).toEqual([]);
});
