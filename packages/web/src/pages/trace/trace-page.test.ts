import { expect, test } from "vitest";
import { backendUrl } from "./backend-url.ts";
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
