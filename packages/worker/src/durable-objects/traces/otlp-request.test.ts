import { describe, expect, test } from "vitest";
import { makeFrame, SESSION } from "../../../test/otlp.ts";
import { readRequest, writeSpans } from "./otlp-request.ts";

type Json = Record<string, unknown>;

/** Returns a request with one valid span and a copy of it with some fields changed. */
function requestWith(change: Json): string {
  const request = JSON.parse(makeFrame({ name: "good" }, { name: "changed" }));
  Object.assign(request.resourceSpans[0].scopeSpans[0].spans[1], change);
  return JSON.stringify(request);
}

function read(text: string) {
  const request = readRequest(text, SESSION);
  return { names: request?.groups.flatMap(({ spans }) => spans.map(({ name }) => name)), refused: request?.refused };
}

describe("a request of Valet's own tracer", () => {
  test("is accepted completely", () => {
    expect(read(makeFrame({ name: "a" }, { name: "b" }))).toEqual({ names: ["a", "b"], refused: 0 });
  });

  test("keeps every field of a span", () => {
    const text = makeFrame({
      attributes: { list: ["a", 1, true, 2.5, []], bytes: new Uint8Array([1]), nothing: null },
    });
    const [group] = readRequest(text, SESSION)?.groups ?? [];
    const { resourceSpans } = JSON.parse(text);
    expect(JSON.parse(writeSpans(group?.spans ?? []))).toEqual(resourceSpans[0].scopeSpans[0].spans[0]);
    expect(JSON.parse(group?.resource ?? "")).toEqual(resourceSpans[0].resource);
  });

  test("may be newer: an unknown plain field of a span is kept, one of its resource or scope is dropped", () => {
    const request = JSON.parse(makeFrame({}));
    request.resourceSpans[0].resource.newer = [[]];
    Object.assign(request.resourceSpans[0].scopeSpans[0].spans[0], { newer: 1 });
    const [group] = readRequest(JSON.stringify(request), SESSION)?.groups ?? [];
    expect(JSON.parse(writeSpans(group?.spans ?? []))).toMatchObject({ newer: 1 });
    expect(JSON.parse(group?.resource ?? "")).toEqual({ attributes: request.resourceSpans[0].resource.attributes });
  });

  test("has its sampled flag, times and errors read", () => {
    const text = makeFrame({ start: 1000, end: 2500, sampled: false });
    const [span] = readRequest(text, SESSION)?.groups[0]?.spans ?? [];
    expect(span).toMatchObject({ sampled: false, startUs: 1_000_000, endUs: 2_500_000, isError: false, level: 0 });
  });
});

test.each(["", "{", "null", "[]", "3", "{}", '{"resourceSpans":3}'])("%j is not a request", (text) => {
  expect(readRequest(text, SESSION)).toBeUndefined();
});

describe("a span that a backend could not decode is dropped, and the others are kept:", () => {
  test.each<[string, Json]>([
    ["upper-case hex", { traceId: "A".repeat(32) }],
    ["a short trace id", { traceId: "a" }],
    ["an all-zero span id", { spanId: "0".repeat(16) }],
    ["a bad parent", { parentSpanId: "x" }],
    ["no name", { name: 3 }],
    ["a kind that is a name", { kind: "SPAN_KIND_CLIENT" }],
    ["a time that is a number", { startTimeUnixNano: 3 }],
    ["a time over 64 bits", { endTimeUnixNano: "99999999999999999999" }],
    ["no end", { endTimeUnixNano: undefined }],
    ["flags over 32 bits", { flags: 2 ** 32 }],
    ["a status that is text", { status: { code: "ERROR" } }],
    ["attributes that are a map", { attributes: { a: 1 } }],
    ["an attribute without a value", { attributes: [{ key: "a" }] }],
    ["an attribute with two values", { attributes: [{ key: "a", value: { stringValue: "", intValue: "1" } }] }],
    ["an attribute of an unknown type", { attributes: [{ key: "a", value: { dateValue: "" } }] }],
    ["an integer with a fraction", { attributes: [{ key: "a", value: { intValue: 1.5 } }] }],
    ["an integer over 64 bits", { attributes: [{ key: "a", value: { intValue: "9223372036854775808" } }] }],
    ["a double that is null", { attributes: [{ key: "a", value: { doubleValue: null } }] }],
    ["an event without a time", { events: [{ name: "e" }] }],
    ["a link without ids", { links: [{}] }],
    ["a name that is not text", { name: "\ud800" }],
    ["a value that is not text", { attributes: [{ key: "a", value: { stringValue: "\udc00" } }] }],
  ])("%s", (_what, change) => {
    expect(read(requestWith(change))).toEqual({ names: ["good"], refused: 1 });
  });

  test("a double that is infinite when parsed", () => {
    const text = requestWith({ attributes: [{ key: "a", value: { doubleValue: 7.25 } }] });
    expect(read(text.replace("7.25", "1e999")).refused).toBe(1);
  });

  test("a resource that is too large to be stored with every span causes its spans to be dropped", () => {
    const request = JSON.parse(makeFrame({}, {}));
    request.resourceSpans[0].resource.attributes[0].value.stringValue = "x".repeat(20_000);
    expect(read(JSON.stringify(request))).toEqual({ names: [], refused: 2 });
  });

  test("an unknown field that is nested too deeply", () => {
    const deep = `${"[".repeat(20_000)}${"]".repeat(20_000)}`;
    for (const field of ['"name":"changed"', '"key":"valet.session.id"', '"status":{']) {
      const text = makeFrame({ name: "changed" });
      expect(text).toContain(field);
      const end = field.endsWith("{") ? "" : ",";
      const deeper = field.endsWith("{") ? `${field}"newer":${deep},` : `"newer":${deep}${end}${field}`;
      expect(read(text.replace(field, deeper))).toEqual({ names: [], refused: 1 });
    }
  });

  test("an array nested too deeply", () => {
    let value: Json = { stringValue: "" };
    for (let i = 0; i < 100; i++) value = { arrayValue: { values: [value] } };
    expect(read(requestWith({ attributes: [{ key: "a", value }] })).refused).toBe(1);
  });

  test("a malformed resource causes its spans to be dropped", () => {
    const request = JSON.parse(makeFrame({}, {}));
    request.resourceSpans[0].resource = { attributes: [{ key: 3 }] };
    expect(read(JSON.stringify(request))).toEqual({ names: [], refused: 2 });
  });
});

describe("sessions are isolated:", () => {
  test("a span of another session is dropped", () => {
    expect(read(makeFrame({ name: "ours" }, { name: "theirs", sessionId: "ses_other" }))).toEqual({
      names: ["ours"],
      refused: 1,
    });
  });

  test("a span that names both sessions is dropped", () => {
    const ids = [SESSION, "ses_other"].map((id) => ({ key: "valet.session.id", value: { stringValue: id } }));
    expect(read(requestWith({ attributes: ids })).refused).toBe(1);
    expect(read(requestWith({ attributes: ids.slice(0, 1) })).refused).toBe(0);
  });

  test("a span that names no session is dropped", () => {
    expect(read(requestWith({ attributes: [] })).refused).toBe(1);
  });
});
