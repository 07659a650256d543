// Checks that the catalogue is consistent and agrees with the tracer. spans.types.test.ts checks how code may use it. The tests
// of each emitter check that it emits these spans.
import { describe, expect, test } from "vitest";
import {
  ATTRIBUTES,
  type AttributeDefinition,
  COMMON_ATTRIBUTES,
  DOUBLE_KEYS,
  DROP_REASONS,
  ERROR_TYPES,
  ERRORS,
  type ErrorDefinition,
  EVENTS,
  endedBy,
  FAILURE_TYPES,
  KINDS,
  knownErrorType,
  LINK_TYPES,
  marked,
  OUTCOME_REASONS,
  OUTCOMES,
  REFUSED_KINDS,
  RESOURCE_ATTRIBUTES,
  SPANS,
  type SpanDefinition,
} from "./spans.ts";
import { SpanKind } from "./tracing/index.ts";

const spans: [string, SpanDefinition][] = Object.entries(SPANS);
const attributes: [string, AttributeDefinition][] = Object.entries(ATTRIBUTES);

/** Returns every key that a span may have, in the order of the catalogue. */
function keysOf(span: SpanDefinition): string[] {
  return [...COMMON_ATTRIBUTES, ...Object.keys(span.fixed ?? {}), ...span.required, ...span.optional];
}

function errorsOf(span: SpanDefinition): readonly string[] {
  return Array.isArray(span.errors) ? span.errors : [];
}

function carriersOf(key: string): string[] {
  return spans.filter(([, span]) => keysOf(span).includes(key)).map(([name]) => name);
}

test("the keys written as doubles are those that the catalogue declares as double", () => {
  expect([...DOUBLE_KEYS].sort()).toEqual(
    attributes
      .filter(([, { type }]) => type === "double")
      .map(([key]) => key)
      .sort(),
  );
});

test("span kinds have OTLP's numbers", () => {
  expect(KINDS).toEqual(SpanKind);
});

describe.each(spans)("%s", (name, span) => {
  test("has a name in Valet's style or in that of a convention", () => {
    expect(name).toMatch(/^(?:valet(?:\.[a-z_]+)+|chat|invoke_agent|execute_tool|\{method\})(?: \{[a-z]+\})?$/);
  });

  test("lists nothing twice", () => {
    for (const list of [keysOf(span), errorsOf(span), span.parents, span.links, span.emitters]) {
      expect(list).toEqual([...new Set(list)]);
    }
  });

  test("has parents that exist", () => {
    expect(span.parents).not.toHaveLength(0);
    expect([...Object.keys(SPANS), "root", "caller"]).toEqual(expect.arrayContaining([...span.parents]));
  });

  test("requires no content", () => {
    const required: readonly string[] = span.required;
    expect(attributes.filter(([key, { content }]) => content && required.includes(key))).toEqual([]);
  });
});

test("every span descends from a span that may begin a trace", () => {
  const reached = new Set(["root"]);
  for (let before = 0; before < reached.size; ) {
    before = reached.size;
    for (const [name, { parents }] of spans) if (parents.some((each) => reached.has(each))) reached.add(name);
  }
  expect([...reached].sort()).toEqual([...Object.keys(SPANS), "root"].sort());
});

test("the operations are prompt, workflow, spawn, restore, hibernate, terminate and delete", () => {
  expect(spans.filter(([, { operation }]) => operation).map(([name]) => name)).toEqual([
    "valet.prompt",
    "valet.workflow",
    "valet.sandbox.spawn",
    "valet.sandbox.restore",
    "valet.sandbox.hibernate",
    "valet.session.terminate",
    "valet.session.delete",
  ]);
});

test("every span but requests and the reports of drops and refusals ends with an outcome", () => {
  expect(spans.filter(([, { errors }]) => !Array.isArray(errors)).map(([name]) => name)).toEqual([
    "{method} {route}",
    "{method}",
    "valet.trace_plane.dropped",
    "valet.trace_plane.refused",
  ]);
});

test("spans of a runner can be lost with it", () => {
  const runnerSpans = spans.filter(([, span]) => span.emitters.includes("runner") && span.errors);
  for (const [, span] of runnerSpans) expect(errorsOf(span)).toContain("runner_lost");
});

test("only model calls have tokens and cost, so no sum counts them twice", () => {
  const bill = Object.keys(ATTRIBUTES).filter((key) => /^gen_ai\.usage\.|cost/.test(key));
  expect(bill).toHaveLength(8);
  for (const key of bill) expect(carriersOf(key)).toEqual(["chat {model}"]);
});

test("spans with the provider's new key also have the old key", () => {
  expect(carriersOf("gen_ai.system")).toEqual(carriersOf("gen_ai.provider.name"));
});

test("a turn repeats the attributes of its dispatch about the wait", () => {
  const wait = keysOf(SPANS["valet.prompt.dispatch"]).filter((key) => /^valet\.(?:queue|collect)\./.test(key));
  expect(wait).toHaveLength(6);
  expect(keysOf(SPANS["valet.turn"])).toEqual(expect.arrayContaining(wait));
});

test("every attribute, error type, link type and drop reason is used", () => {
  const events = Object.values(EVENTS).flatMap((event) => [...event.attributes]);
  const used = [...spans.flatMap(([, span]) => keysOf(span)), ...events];
  // Other programs' spans are not in the catalogue.
  const byRule = [
    "valet.adopted",
    "valet.adopted.trace_id",
    "valet.outcome",
    "valet.outcome.reason",
    "error.type",
    "valet.link.type",
  ];
  expect([...new Set([...used, ...byRule])].sort()).toEqual(Object.keys(ATTRIBUTES).sort());
  // No span ends with these two: they are only causes of `runner_lost`.
  const causes = ["broker_stopped", "broker_lost"];
  const reasons = [...spans.flatMap(([, span]) => errorsOf(span)), ...endedBy("http_request"), ...causes, "_OTHER"];
  expect([...new Set(reasons)].sort()).toEqual([...ERROR_TYPES].sort());
  expect([...new Set(spans.flatMap(([, { links }]) => links))].sort()).toEqual([...LINK_TYPES].sort());
  expect(SPANS["valet.trace_plane.dropped"].optional).toEqual(DROP_REASONS.map((why) => `valet.dropped_spans.${why}`));
  expect(SPANS["valet.trace_plane.refused"].optional).toEqual(REFUSED_KINDS.map((kind) => `valet.refused.${kind}`));
});

describe("the table of error types", () => {
  const rows = Object.entries<ErrorDefinition>(ERRORS);

  test("explains every outcome but ok", () => {
    const explained = new Set<string>(rows.flatMap(([, { outcomes }]) => outcomes));
    expect([...explained].sort()).toEqual(OUTCOMES.filter((outcome) => outcome !== "ok").sort());
  });

  test.each(rows)("%s explains failures or other outcomes, never both", (_type, { outcomes }) => {
    const failures = outcomes.filter((outcome) => outcome === "error" || outcome === "lost");
    expect([0, outcomes.length]).toContain(failures.length);
  });

  test.each(rows)(
    "%s has a meaning without a period, and a remedy in whole sentences",
    (_type, { meaning, remedy }) => {
      expect(meaning).not.toMatch(/[.]$/);
      if (remedy !== null) expect(remedy).toMatch(/^[A-Z].*\.$/);
    },
  );

  test("provides the values of the attributes, each under one key", () => {
    expect([...FAILURE_TYPES, ...OUTCOME_REASONS].sort()).toEqual([...ERROR_TYPES].sort());
    expect(ATTRIBUTES["error.type"].values).toEqual(FAILURE_TYPES);
    expect(ATTRIBUTES["valet.outcome.reason"].values).toEqual(OUTCOME_REASONS);
  });

  test("a reason to abort an attempt ends open descendants and may end all of an agent's work", () => {
    const work = ["turn", "execution", "step", "agent", "call", "retry", "tool", "request", "compaction"] as const;
    for (const type of marked("aborts")) {
      expect(marked("cuts")).toContain(type);
      for (const each of work) expect(endedBy(each)).toContain(type);
    }
  });

  test("an unknown name becomes _OTHER", () => {
    expect(knownErrorType("opencode_died")).toBe("opencode_died");
    expect(knownErrorType("toString")).toBe("_OTHER");
  });
});

test("closed lists contain strings, without duplicates", () => {
  for (const [, { type, values }] of attributes.filter(([, { values }]) => values)) {
    expect(type).toBe("string");
    expect(values).toEqual([...new Set(values)]);
  }
});

test("names of Valet's durations, sizes and prices contain the unit", () => {
  const units = { s: /$^/, ms: /_ms$/, bytes: /_bytes$/, USD: /_usd$/ };
  for (const [key, { unit }] of attributes.filter(([key]) => key.startsWith("valet."))) {
    if (unit !== undefined && unit in units) expect(key).toMatch(units[unit as keyof typeof units]);
  }
  expect(attributes.filter(([key]) => /^valet\..*(?:duration|seconds|_time|delay|wait)$/.test(key))).toEqual([]);
});

test("an attribute of both resource and spans has the same type in both", () => {
  for (const [key, { type }] of Object.entries(RESOURCE_ATTRIBUTES)) {
    if (key in ATTRIBUTES) expect(ATTRIBUTES[key as keyof typeof ATTRIBUTES].type).toBe(type);
  }
});
