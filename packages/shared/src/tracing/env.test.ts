import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { SpanContext } from "./context.ts";
import type { Diagnostic } from "./diagnostics.ts";
import { limitVariables, readTracingConfig } from "./env.ts";
import { DEFAULT_LIMITS } from "./limits.ts";
import type { EnvironmentRecord } from "./propagation.ts";
import { SpanKind } from "./readable-span.ts";
import type { Sampler } from "./sampler.ts";

const MAX_INTEGER = 2 ** 31 - 1;

function read(env: EnvironmentRecord) {
  const diagnostics: Diagnostic[] = [];
  const { sampler, ...config } = readTracingConfig(env, (diagnostic) => diagnostics.push(diagnostic));
  const variables = diagnostics.map((each) => (each.type === "config_invalid" ? each.variable : each.type));
  return { ...config, sampler: describeSampler(sampler), variables, diagnostics };
}

/** What is expected of a good environment. */
function readWell(env: EnvironmentRecord) {
  const { variables, diagnostics, ...config } = read(env);
  expect(variables).toEqual([]);
  return config;
}

/** How many it samples of 16 evenly spread traces: as roots, as children of sampled parents, as children of others. */
function describeSampler(sampler: Sampler): string {
  const share = (parentFlags?: number) => {
    let sampled = 0;
    for (let i = 0; i < 16; i++) {
      const random = i * 2 ** 44;
      const traceId = `${"1".repeat(18)}${random.toString(16).padStart(12, "0")}11`;
      const parent: SpanContext | undefined =
        parentFlags === undefined
          ? undefined
          : { traceId, spanId: "1".repeat(16), traceFlags: parentFlags, traceState: "", isRemote: true };
      if (sampler(traceId, parent, "name", SpanKind.INTERNAL, undefined).decision === "sample") sampled++;
    }
    return sampled;
  };
  return `${share()} ${share(1)} ${share(0)}`;
}

const DEFAULTS = {
  enabled: true,
  endpoint: undefined,
  headers: {},
  compression: "gzip",
  timeoutMs: 10_000,
  resource: {},
  sampler: "16 16 0",
  limits: {
    attributes: 128,
    events: 128,
    links: 128,
    attributesPerEvent: 128,
    attributesPerLink: 128,
    attributeValueLength: Number.POSITIVE_INFINITY,
  },
  scheduleDelayMs: 5000,
  captureContent: false,
};

const OTLP = "OTEL_EXPORTER_OTLP_";
const PRINTABLE = fc.string({ minLength: 1, maxLength: 1 });
/** Every variable, and values that it cannot have. */
const BAD_VALUES: Record<string, string[]> = {
  OTEL_SDK_DISABLED: ["yes", "1", "on", "truee"],
  [`${OTLP}ENDPOINT`]: ["collector:4318", "localhost", "grpc://h:4317", "http://", "https:h", "http://u:canary@h/"],
  [`${OTLP}TRACES_ENDPOINT`]: ["/v1/traces", "file:///tmp/x", "http://h:port/", "https://canary@h/", "http:///u:p@h"],
  [`${OTLP}HEADERS`]: [
    "canary",
    "=canary",
    "a b=canary",
    "a=canary%0d%0aX: y",
    "k=%zz",
    "k=canary\r\nX: y",
    "ä=canary",
  ],
  [`${OTLP}TRACES_HEADERS`]: [
    "a=1,canary",
    "a:b=canary",
    "k=canary%00",
    "k=%e4",
    "k=canary%C3%A9",
    "%0a=canary",
    "a=1,=2",
  ],
  [`${OTLP}COMPRESSION`]: ["zstd", "true"],
  [`${OTLP}TRACES_COMPRESSION`]: ["deflate", "gzip,none"],
  [`${OTLP}TIMEOUT`]: ["10s", "-1", "1.5", "NaN", "Infinity", "1e3", "0x10", "2147483648", "9".repeat(400)],
  [`${OTLP}TRACES_TIMEOUT`]: ["soon", "+5"],
  OTEL_TRACES_EXPORTER: ["console", "zipkin", "canary", "none,console"],
  OTEL_PROPAGATORS: ["b3", "tracecontext,b3", "none", "canary"],
  [`${OTLP}PROTOCOL`]: ["grpc", "http/protobuf"],
  [`${OTLP}TRACES_PROTOCOL`]: ["grpc", "json"],
  OTEL_RESOURCE_ATTRIBUTES: ["canary", "a=1,canary", "=canary", "a=%canary", "a=1, =2"],
  OTEL_TRACES_SAMPLER: [
    "sometimes",
    "jaeger_remote",
    "constructor",
    "__proto__",
    "parentbased_",
    "always_on,always_off",
  ],
  OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT: ["many", "-1", "128.5"],
  OTEL_SPAN_EVENT_COUNT_LIMIT: ["many"],
  OTEL_SPAN_LINK_COUNT_LIMIT: ["many"],
  OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT: ["many"],
  OTEL_LINK_ATTRIBUTE_COUNT_LIMIT: ["many"],
  OTEL_ATTRIBUTE_COUNT_LIMIT: ["many"],
  OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT: ["unlimited", "Infinity"],
  OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT: ["unlimited"],
  OTEL_BSP_SCHEDULE_DELAY: ["5s", "2147483648"],
  OTEL_CAPTURE_CONTENT: ["1", "yes", "SPAN_ONLY"],
  OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT: ["1", "SPAN_ONLY"],
};

describe("R13 unset, empty and invalid", () => {
  test("an empty environment is the default", () => {
    expect(readWell({})).toEqual(DEFAULTS);
    expect(DEFAULTS.limits).toEqual(DEFAULT_LIMITS);
  });

  test.each(["", " ", "\t\n", undefined])("R13 %j is unset, whatever the variable", (value) => {
    const env = Object.fromEntries([...Object.keys(BAD_VALUES), "OTEL_SERVICE_NAME"].map((name) => [name, value]));
    expect(readWell(env)).toEqual(DEFAULTS);
  });

  test("an empty variable falls back to the general one", () => {
    const env = { [`${OTLP}TRACES_ENDPOINT`]: "", [`${OTLP}ENDPOINT`]: "http://h", [`${OTLP}TRACES_HEADERS`]: " " };
    expect(readWell({ ...env, [`${OTLP}HEADERS`]: "a=b" })).toEqual({
      ...DEFAULTS,
      endpoint: "http://h/v1/traces",
      headers: { a: "b" },
    });
  });

  test.each(Object.entries(BAD_VALUES).flatMap(([name, values]) => values.map((value) => [name, value])))(
    "%s=%j gives one diagnostic that names it and does not quote it, and the default",
    (name = "", value = "") => {
      const { variables, diagnostics, ...config } = read({ [name]: value });
      expect(config).toEqual(DEFAULTS);
      expect(diagnostics).toEqual([
        { type: "config_invalid", variable: name, message: expect.stringMatching(/^must be /) },
      ]);
      expect(JSON.stringify(diagnostics)).not.toContain("canary");
    },
  );

  test("each of many invalid values yields one diagnostic", () => {
    const env = Object.fromEntries(Object.entries(BAD_VALUES).map(([name, [value]]) => [name, value]));
    const outranked = [`${OTLP}ENDPOINT`, `${OTLP}HEADERS`, `${OTLP}PROTOCOL`];
    const notLookedAt = [...outranked, "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"];
    const { variables, diagnostics, ...config } = read(env);
    expect(config).toEqual(DEFAULTS);
    expect(variables.sort()).toEqual(
      Object.keys(env)
        .filter((name) => !notLookedAt.includes(name))
        .sort(),
    );
  });

  test.each([
    ["TIMEOUT", "x", "7", { timeoutMs: 7 }],
    ["COMPRESSION", "x", "none", { compression: "none" }],
  ])("an invalid traces variable falls back to the general %s", (name, bad, good, expected) => {
    const { variables, diagnostics, ...config } = read({ [`${OTLP}TRACES_${name}`]: bad, [OTLP + name]: good });
    expect(config).toEqual({ ...DEFAULTS, ...expected });
    expect(variables).toEqual([`${OTLP}TRACES_${name}`]);
  });

  test.each([
    [`${OTLP}TRACES_ENDPOINT`, "h:4318", `${OTLP}ENDPOINT`, "http://other"],
    [`${OTLP}TRACES_HEADERS`, "key", `${OTLP}HEADERS`, "key=other"],
    ["OTEL_CAPTURE_CONTENT", "no", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true"],
  ])("but an invalid %s never falls back", (name, bad, general, good) => {
    const { variables, diagnostics, ...config } = read({ [name]: bad, [general]: good });
    expect(config).toEqual(DEFAULTS);
    expect(variables).toEqual([name]);
  });

  test("a callback that throws is ignored, and none is required", () => {
    const env = { OTEL_SDK_DISABLED: "yes" };
    const fail = () => {
      throw new Error("callback");
    };
    expect(readTracingConfig(env, fail).enabled).toBe(true);
    expect(readTracingConfig(env).enabled).toBe(true);
  });

  test.each(["true", "TRUE", "True", " true "])("only true is true: %j", (value) => {
    expect(readWell({ OTEL_SDK_DISABLED: value })).toEqual({ ...DEFAULTS, enabled: false });
    expect(readWell({ OTEL_CAPTURE_CONTENT: value })).toEqual({ ...DEFAULTS, captureContent: true });
  });

  test.each(["false", "FALSE"])("%j is false without a diagnostic", (value) => {
    expect(readWell({ OTEL_SDK_DISABLED: value, OTEL_CAPTURE_CONTENT: value })).toEqual(DEFAULTS);
  });

  test("variables of a Worker may be numbers and booleans", () => {
    const env = { OTEL_SDK_DISABLED: true, OTEL_BSP_SCHEDULE_DELAY: 200 } as unknown as EnvironmentRecord;
    expect(readWell(env)).toEqual({
      ...DEFAULTS,
      enabled: false,
      scheduleDelayMs: 200,
    });
    const odd = { OTEL_SDK_DISABLED: {}, OTEL_TRACES_SAMPLER: Object.create(null), OTEL_SERVICE_NAME: null };
    expect(read(odd as unknown as EnvironmentRecord).variables).toEqual(["OTEL_SDK_DISABLED"]);
  });
});

describe("R14 endpoints", () => {
  test.each([
    ["http://localhost:4318", "http://localhost:4318/v1/traces"],
    ["http://localhost:4318/", "http://localhost:4318/v1/traces"],
    ["https://host.example/otlp", "https://host.example/otlp/v1/traces"],
    ["https://host.example/otlp/", "https://host.example/otlp/v1/traces"],
    ["https://host.example/otlp?tenant=a", "https://host.example/otlp/v1/traces?tenant=a"],
    [" HTTP://[::1]:4318 ", "http://[::1]:4318/v1/traces"],
  ])("the general %s goes to %s", (value, endpoint) => {
    expect(readWell({ [`${OTLP}ENDPOINT`]: value })).toEqual({ ...DEFAULTS, endpoint });
  });

  test.each([
    ["http://localhost:4318", "http://localhost:4318/"],
    ["https://host.example/custom", "https://host.example/custom"],
    ["https://host.example/v1/traces/", "https://host.example/v1/traces/"],
    ["https://host.example/x?tenant=a", "https://host.example/x?tenant=a"],
  ])("the traces endpoint, %s, is used unchanged", (value, endpoint) => {
    const env = { [`${OTLP}TRACES_ENDPOINT`]: value, [`${OTLP}ENDPOINT`]: "http://general.example" };
    expect(readWell(env)).toEqual({ ...DEFAULTS, endpoint });
  });
});

describe("R15 headers, compression and protocol", () => {
  test.each([
    ["api-key=secret", { "api-key": "secret" }],
    ["a=1,b=2", { a: "1", b: "2" }],
    [" a = 1 , b = 2 ,", { a: "1", b: "2" }],
    ["Authorization=Basic%20dXNlcjpwYXNz%3D%3D", { authorization: "Basic dXNlcjpwYXNz==" }],
    ["Authorization=Basic dXNlcjpwYXNz==", { authorization: "Basic dXNlcjpwYXNz==" }],
    ["list=a%2Cb;c", { list: "a,b;c" }],
    ["empty=", { empty: "" }],
    ["Key=1,KEY=2", { key: "2" }],
    [",", {}],
  ])("%j", (value, headers) => {
    expect(readWell({ [`${OTLP}HEADERS`]: value })).toEqual({ ...DEFAULTS, headers });
  });

  test("the traces headers replace the general ones", () => {
    const env = { [`${OTLP}TRACES_HEADERS`]: "a=1", [`${OTLP}HEADERS`]: "b=2" };
    expect(readWell(env).headers).toEqual({ a: "1" });
  });

  test("names of built-in properties are ordinary names", () => {
    expect(Object.entries(readWell({ [`${OTLP}HEADERS`]: "__proto__=1" }).headers)).toEqual([["__proto__", "1"]]);
  });

  test("every platform accepts the result as headers", () => {
    const name = fc.oneof(
      fc.string({ minLength: 1, maxLength: 3 }),
      fc.constantFrom("api-key", "X-A", "!#$&'*+.^_`|~"),
    );
    const unit = fc.oneof(PRINTABLE, fc.constantFrom("%0a", "%0D", "%00", "%7f", "%20", "é", "\t"));
    const value = fc.string({ unit, maxLength: 3 });
    let taken = 0;
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { maxLength: 3 }), (pairs) => {
        const { headers } = readTracingConfig({ [`${OTLP}HEADERS`]: pairs.map((pair) => pair.join("=")).join(",") });
        const names = Object.keys(headers);
        expect([...new Headers(headers).keys()].sort()).toEqual(names.sort());
        taken += names.length;
      }),
      { numRuns: 1000 },
    );
    expect(taken).toBeGreaterThan(100);
  });

  test.each([
    ["none", "none"],
    ["NONE", "none"],
    ["gzip", "gzip"],
  ])("compression %s", (value, compression) => {
    expect(readWell({ [`${OTLP}COMPRESSION`]: value })).toEqual({ ...DEFAULTS, compression });
  });

  test("the traces compression overrides the general one", () => {
    const env = { [`${OTLP}TRACES_COMPRESSION`]: "gzip", [`${OTLP}COMPRESSION`]: "none" };
    expect(readWell(env).compression).toBe("gzip");
  });

  test("http/json is the protocol; an overridden general one is ignored", () => {
    expect(readWell({ [`${OTLP}PROTOCOL`]: "http/json" })).toEqual(DEFAULTS);
    expect(readWell({ [`${OTLP}TRACES_PROTOCOL`]: "http/json", [`${OTLP}PROTOCOL`]: "grpc" })).toEqual(DEFAULTS);
  });
});

describe("OTEL_TRACES_EXPORTER", () => {
  const endpoint = { [`${OTLP}ENDPOINT`]: "http://h" };

  test.each(["otlp", "OTLP", "otlp,none"])("%s exports", (value) => {
    expect(readWell({ ...endpoint, OTEL_TRACES_EXPORTER: value }).endpoint).toBe("http://h/v1/traces");
  });

  test("none does not, with any endpoint", () => {
    expect(readWell({ ...endpoint, OTEL_TRACES_EXPORTER: "none" })).toEqual(DEFAULTS);
  });

  test("an unknown exporter exports nothing, and one beside otlp yields a diagnostic", () => {
    for (const [value, expected] of [
      ["console", undefined],
      ["console, otlp", "http://h/v1/traces"],
    ]) {
      const { endpoint: found, variables } = read({ ...endpoint, OTEL_TRACES_EXPORTER: value });
      expect(found).toBe(expected);
      expect(variables).toEqual(["OTEL_TRACES_EXPORTER"]);
    }
  });
});

describe("standard variables that are not supported", () => {
  test.each([
    ...["CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE", "INSECURE"].flatMap((name) => [
      OTLP + name,
      `${OTLP}TRACES_${name}`,
    ]),
    "OTEL_EXPORTER_ZIPKIN_ENDPOINT",
    "OTEL_EXPORTER_JAEGER_AGENT_HOST",
    "OTEL_CONFIG_FILE",
    "OTEL_BSP_EXPORT_TIMEOUT",
    "OTEL_BSP_MAX_QUEUE_SIZE",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_EXPERIMENTAL_CONFIG_FILE",
    "OTEL_ENTITIES",
    "OTEL_LOG_LEVEL",
  ])("%s yields a diagnostic without its value", (variable) => {
    const { variables, diagnostics, ...config } = read({ [variable]: "/canary" });
    expect(config).toEqual(DEFAULTS);
    expect(diagnostics).toEqual([{ type: "config_invalid", variable, message: "is not honoured" }]);
    expect(readWell({ [variable]: " " })).toEqual(DEFAULTS);
  });

  test("variables of other signals, or with our default, yield none", () => {
    const others = { OTEL_METRICS_EXPORTER: "none", OTEL_LOGS_EXPORTER: "otlp", OTEL_BLRP_SCHEDULE_DELAY: "1" };
    const metrics = { [`${OTLP}METRICS_CERTIFICATE`]: "/ca.pem", OTEL_PROPAGATORS: "tracecontext, baggage" };
    expect(readWell({ ...others, ...metrics })).toEqual(DEFAULTS);
  });
});

describe("R16 timeouts", () => {
  test.each([
    [{ [`${OTLP}TIMEOUT`]: "2500" }, 2500],
    [{ [`${OTLP}TRACES_TIMEOUT`]: "1", [`${OTLP}TIMEOUT`]: "2500" }, 1],
    [{ [`${OTLP}TIMEOUT`]: "2147483647" }, MAX_INTEGER],
  ])("%j", (env, timeoutMs) => {
    expect(readWell(env)).toEqual({ ...DEFAULTS, timeoutMs });
  });

  test("0 means no timeout: a timer's maximum", () => {
    expect(readWell({ [`${OTLP}TIMEOUT`]: "0" }).timeoutMs).toBe(MAX_INTEGER);
    expect(readWell({ [`${OTLP}TRACES_TIMEOUT`]: "0", [`${OTLP}TIMEOUT`]: "5" }).timeoutMs).toBe(MAX_INTEGER);
  });
});

describe("R17 resource", () => {
  test.each([
    ["a=1,b.c=2", { a: "1", "b.c": "2" }],
    ["team=r%26d%2C%20east%3D1,t%C3%A9l=%F0%9F%98%80", { team: "r&d, east=1", tél: "😀" }],
    ["a=b=c;d", { a: "b=c;d" }],
    ["service.name=from-attributes", { "service.name": "from-attributes" }],
  ])("%j is percent-decoded", (value, resource) => {
    expect(readWell({ OTEL_RESOURCE_ATTRIBUTES: value })).toEqual({ ...DEFAULTS, resource });
  });

  test("one error discards the whole value, but not the service name", () => {
    const env = { OTEL_RESOURCE_ATTRIBUTES: "a=1,service.name=x,b=%", OTEL_SERVICE_NAME: "mine" };
    const { resource, variables } = read(env);
    expect(resource).toEqual({ "service.name": "mine" });
    expect(variables).toEqual(["OTEL_RESOURCE_ATTRIBUTES"]);
  });

  test("OTEL_SERVICE_NAME overrides it, undecoded", () => {
    const env = { OTEL_RESOURCE_ATTRIBUTES: "service.name=x,a=1", OTEL_SERVICE_NAME: "100% mine" };
    expect(readWell(env).resource).toEqual({ "service.name": "100% mine", a: "1" });
  });

  test("any encoded value is decoded", () => {
    const text = fc.string({ unit: "grapheme", minLength: 1 }).filter((each) => each.trim() !== "");
    fc.assert(
      fc.property(fc.dictionary(text, text), (attributes) => {
        const pairs = Object.entries(attributes).map((pair) => pair.map(encodeURIComponent).join("="));
        expect({ ...readWell({ OTEL_RESOURCE_ATTRIBUTES: pairs.join(",") }).resource }).toEqual({ ...attributes });
      }),
      { numRuns: 500 },
    );
  });
});

describe("R18 samplers and the switch", () => {
  test.each([
    ["always_on", undefined, "16 16 16"],
    ["always_off", undefined, "0 0 0"],
    ["traceidratio", "0.25", "4 4 4"],
    ["traceidratio", undefined, "16 16 16"],
    ["traceidratio", "0", "0 0 0"],
    ["parentbased_always_on", undefined, "16 16 0"],
    ["parentbased_always_off", undefined, "0 16 0"],
    ["parentbased_traceidratio", "0.25", "4 16 0"],
    ["parentbased_traceidratio", "125e-3", "2 16 0"],
    ["ParentBased_TraceIdRatio", ".5", "8 16 0"],
    ["always_on", "http://jaeger", "16 16 16"],
    [undefined, "0.25", "16 16 0"],
  ])("%s with %s", (name, argument, sampler) => {
    const env = { OTEL_TRACES_SAMPLER: name, OTEL_TRACES_SAMPLER_ARG: argument };
    expect(readWell(env)).toEqual({ ...DEFAULTS, sampler });
  });

  test.each(["1.1", "-0.1", "NaN", "half", "Infinity"])("a ratio of %s is 1, with one diagnostic", (argument) => {
    const { sampler, variables } = read({ OTEL_TRACES_SAMPLER: "traceidratio", OTEL_TRACES_SAMPLER_ARG: argument });
    expect(sampler).toBe("16 16 16");
    expect(variables).toEqual(["OTEL_TRACES_SAMPLER_ARG"]);
  });

  test("OTEL_SDK_DISABLED=true switches off", () => {
    expect(readWell({ OTEL_SDK_DISABLED: "true" })).toEqual({ ...DEFAULTS, enabled: false });
  });
});

test("R19 the delay of a batch is honoured", () => {
  expect(readWell({ OTEL_BSP_SCHEDULE_DELAY: "0" })).toEqual({ ...DEFAULTS, scheduleDelayMs: 0 });
});

describe("R20 limits", () => {
  test("every variable reaches its place", () => {
    const env = {
      OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT: "0",
      OTEL_SPAN_EVENT_COUNT_LIMIT: "1",
      OTEL_SPAN_LINK_COUNT_LIMIT: "2",
      OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT: "3",
      OTEL_LINK_ATTRIBUTE_COUNT_LIMIT: "4",
      OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT: "5",
    };
    const limits = {
      attributes: 0,
      events: 1,
      links: 2,
      attributesPerEvent: 3,
      attributesPerLink: 4,
      attributeValueLength: 5,
    };
    expect(readWell(env)).toEqual({ ...DEFAULTS, limits });
    const general = { OTEL_ATTRIBUTE_COUNT_LIMIT: "8", OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT: "9" };
    expect(readWell({ ...general, ...env })).toEqual({ ...DEFAULTS, limits });
  });

  test("the general variables apply if no specific one is set", () => {
    const env = { OTEL_ATTRIBUTE_COUNT_LIMIT: "8", OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT: "9" };
    const counts = { attributes: 8, attributesPerEvent: 8, attributesPerLink: 8 };
    expect(readWell(env).limits).toEqual({ ...DEFAULT_LIMITS, ...counts, attributeValueLength: 9 });
    expect(readWell({ ...env, OTEL_LINK_ATTRIBUTE_COUNT_LIMIT: "1" }).limits.attributesPerLink).toBe(1);
  });
});

test.each([
  [{ OTEL_CAPTURE_CONTENT: "true" }, true],
  [{ OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT: "True" }, true],
  [{ OTEL_CAPTURE_CONTENT: "false", OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT: "true" }, false],
  [{ OTEL_CAPTURE_CONTENT: "true", OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT: "false" }, true],
])("content is captured only if it is switched on: %j", (env, captureContent) => {
  expect(readWell(env)).toEqual({ ...DEFAULTS, captureContent });
});

test("for any strings it never throws, yields at most one diagnostic a variable, quotes nothing, and returns valid values", () => {
  const names = [...Object.keys(BAD_VALUES), "OTEL_SERVICE_NAME", "OTEL_TRACES_SAMPLER_ARG"];
  const parts = fc.constantFrom(..."=,;%:/@?#.-_", "%0a", "%C3", "http://", "https://h", "true", "0", "1", "512");
  const noise = fc.array(fc.oneof(parts, fc.string({ unit: "binary", maxLength: 3 }))).map((each) => each.join(""));
  const values = fc.oneof(noise, fc.constantFrom(...Object.values(BAD_VALUES).flat()), fc.nat().map(String));
  const withCanary = fc.tuple(values, fc.boolean()).map(([value, marked]) => (marked ? `${value}cAnArY` : value));
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...names), withCanary), (env) => {
      const diagnostics: Diagnostic[] = [];
      const config = readTracingConfig(env, (diagnostic) => diagnostics.push(diagnostic));
      const told = diagnostics.map((each) => (each.type === "config_invalid" ? each.variable : ""));
      const { endpoint, timeoutMs, scheduleDelayMs, limits } = config;
      const numbers = [timeoutMs, scheduleDelayMs, ...Object.values(limits)];
      expect({
        toldOnce: new Set(told).size === told.length && told.every((variable) => names.includes(variable)),
        quoted: JSON.stringify(diagnostics).includes("cAnArY"),
        numbers: numbers.every((each) => each === Number.POSITIVE_INFINITY || (Number.isInteger(each) && each >= 0)),
        positive: timeoutMs > 0,
        credentials: endpoint !== undefined && new URL(endpoint).username !== "",
      }).toEqual({ toldOnce: true, quoted: false, numbers: true, positive: true, credentials: false });
    }),
    { numRuns: 10_000 },
  );
});

test("limitVariables returns the variables that limit spans, and no others", () => {
  const limits = Object.fromEntries(
    Object.keys(BAD_VALUES)
      .filter((name) => name.endsWith("_LIMIT"))
      .map((name) => [name, "5"]),
  );
  expect(Object.keys(limits)).toHaveLength(8);
  const others = { [`${OTLP}HEADERS`]: "key", OTEL_TRACES_SAMPLER: "always_on", OTEL_BLRP_COUNT_LIMIT: "1", PATH: "/" };
  expect(limitVariables({ ...limits, ...others })).toEqual(limits);
  expect(limitVariables({ OTEL_SPAN_LINK_COUNT_LIMIT: " ", OTEL_SPAN_EVENT_COUNT_LIMIT: undefined })).toEqual({});
  // A Worker's variables may be JSON numbers.
  expect(limitVariables({ OTEL_SPAN_LINK_COUNT_LIMIT: 7 } as unknown as EnvironmentRecord)).toEqual({
    OTEL_SPAN_LINK_COUNT_LIMIT: "7",
  });
});
