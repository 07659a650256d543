import { textOf } from "./attributes.ts";
import { type OnDiagnostic, quiet } from "./diagnostics.ts";
import { DEFAULT_LIMITS, type SpanLimits } from "./limits.ts";
import type { EnvironmentRecord } from "./propagation.ts";
import { alwaysOff, alwaysOn, parentBased, type Sampler, traceIdRatio } from "./sampler.ts";
import { TRACING_VARIABLES, type TracingVariable } from "./variables.ts";

/** The configuration from OpenTelemetry's environment variables. Times are milliseconds, at most 2³¹ − 1, a timer's maximum. */
export interface TracingConfig {
  /** False with `OTEL_SDK_DISABLED=true`. */
  readonly enabled: boolean;
  /**
   * The full URL to POST traces to; without one nothing is exported. From `OTEL_EXPORTER_OTLP_[TRACES_]ENDPOINT`; absent if
   * `OTEL_TRACES_EXPORTER` does not name `otlp`.
   */
  readonly endpoint: string | undefined;
  /** Headers of every export, names in lower case; they may contain keys. From `OTEL_EXPORTER_OTLP_[TRACES_]HEADERS`. */
  readonly headers: Readonly<Record<string, string>>;
  /** gzip unless `OTEL_EXPORTER_OTLP_[TRACES_]COMPRESSION` is `none`. */
  readonly compression: "gzip" | "none";
  /** The timeout of one export attempt. `OTEL_EXPORTER_OTLP_[TRACES_]TIMEOUT`; its 0, no limit, becomes 2³¹ − 1. */
  readonly timeoutMs: number;
  /** `OTEL_RESOURCE_ATTRIBUTES`, overridden by `OTEL_SERVICE_NAME`. The program's own attributes override both. */
  readonly resource: Readonly<Record<string, string>>;
  /** From `OTEL_TRACES_SAMPLER` and its `_ARG`. */
  readonly sampler: Sampler;
  /** From `OTEL_SPAN_*_LIMIT`, `OTEL_EVENT_*_LIMIT`, `OTEL_LINK_*_LIMIT` and the general `OTEL_ATTRIBUTE_*_LIMIT`. */
  readonly limits: SpanLimits;
  /** `OTEL_BSP_SCHEDULE_DELAY`: how long an ended span may wait for others in its batch. */
  readonly scheduleDelayMs: number;
  /** Whether telemetry may contain the content of people's, models' and tools' messages. */
  readonly captureContent: boolean;
}

/** A format: what a value must be, in words, and its parser, which throws or returns `undefined` for any other value. */
type Format<T> = readonly [expected: string, parse: (text: string) => T | undefined];

/**
 * Reads the environment according to the OpenTelemetry specification ("Environment Variable Specification", "OTLP Exporter
 * Configuration"). An empty variable counts as unset. An invalid one yields a `config_invalid` diagnostic and counts as unset, so
 * that the general variable or the default applies. The general variable does not apply if it could send spans, keys or content
 * to the wrong place: with an invalid traces endpoint nothing is exported, with invalid traces headers none are sent, with an
 * invalid `OTEL_CAPTURE_CONTENT` no content is captured.
 *
 * A variable of these specifications that would change what is sent, but is not supported, yields a diagnostic as well.
 *
 * Diagnostics never quote a value, which may be a key. Never throws.
 */
export function readTracingConfig(env: EnvironmentRecord, onDiagnostic?: OnDiagnostic): TracingConfig {
  const tell = quiet(onDiagnostic);
  // A Worker's variables may be JSON numbers and booleans.
  const textIn = (variable: string) => textOf(env[variable] ?? "").trim();
  const read = <T>(variable: TracingVariable, [expected, parse]: Format<T>): T | undefined => {
    const text = textIn(variable);
    if (text !== "") {
      try {
        const value = parse(text);
        if (value !== undefined) return value;
      } catch {}
      tell({ type: "config_invalid", variable, message: `must be ${expected}` });
    }
    const otherwise: string | undefined = TRACING_VARIABLES[variable];
    return otherwise === undefined ? undefined : parse(otherwise);
  };
  /** Of a variable that has a default. */
  const readOr = <T>(variable: VariableWithDefault, format: Format<T>) => read(variable, format) as T;
  const firstSet = <S extends TracingVariable, G extends TracingVariable>(specific: S, general: G) =>
    textIn(specific) ? specific : general;
  const flag = (variable: VariableWithDefault) => readOr(variable, BOOLEAN) === "true";

  for (const variable in env) {
    if (NOT_HONOURED.test(variable) && textIn(variable)) {
      tell({ type: "config_invalid", variable, message: "is not honoured" });
    }
  }
  // Validated only: there is one propagation format.
  read("OTEL_PROPAGATORS", PROPAGATORS);
  // With an unknown exporter the endpoint, which may be meant for other signals, is not used.
  read("OTEL_TRACES_EXPORTER", EXPORTERS);
  const exporters = listOf(textIn("OTEL_TRACES_EXPORTER") || TRACING_VARIABLES.OTEL_TRACES_EXPORTER);
  // Validated only: one protocol is supported. A general variable that the traces variable overrides is meant for other signals.
  read(firstSet("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"), PROTOCOL);
  const endpoint = firstSet("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT");
  const url = read(endpoint, endpoint === "OTEL_EXPORTER_OTLP_ENDPOINT" ? BASE_URL : TRACES_URL);
  const compression = readOr("OTEL_EXPORTER_OTLP_COMPRESSION", COMPRESSION);
  const timeoutMs = readOr("OTEL_EXPORTER_OTLP_TIMEOUT", COUNT);
  const serviceName = textIn("OTEL_SERVICE_NAME");
  const attributes = readOr("OTEL_ATTRIBUTE_COUNT_LIMIT", COUNT);
  const valueLength = read("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", COUNT);
  return {
    enabled: !flag("OTEL_SDK_DISABLED"),
    endpoint: exporters.length === 0 || exporters.includes("otlp") ? url : undefined,
    headers: read(firstSet("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"), HEADERS) ?? {},
    compression: read("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", COMPRESSION) ?? compression,
    timeoutMs: (read("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", COUNT) ?? timeoutMs) || MAX_INTEGER,
    resource: {
      ...read("OTEL_RESOURCE_ATTRIBUTES", ATTRIBUTES),
      ...(serviceName && { "service.name": serviceName }),
    },
    sampler: samplerOf(readOr("OTEL_TRACES_SAMPLER", SAMPLER), () => readOr("OTEL_TRACES_SAMPLER_ARG", RATIO)),
    limits: {
      attributes: read("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", COUNT) ?? attributes,
      events: readOr("OTEL_SPAN_EVENT_COUNT_LIMIT", COUNT),
      links: readOr("OTEL_SPAN_LINK_COUNT_LIMIT", COUNT),
      attributesPerEvent: read("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", COUNT) ?? attributes,
      attributesPerLink: read("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", COUNT) ?? attributes,
      attributeValueLength:
        read("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", COUNT) ?? valueLength ?? DEFAULT_LIMITS.attributeValueLength,
    },
    scheduleDelayMs: readOr("OTEL_BSP_SCHEDULE_DELAY", COUNT),
    captureContent: flag(firstSet("OTEL_CAPTURE_CONTENT", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT")),
  };
}

/** The variables behind {@link TracingConfig.limits}. */
const LIMIT_VARIABLE =
  /^OTEL_(?:SPAN_(?:ATTRIBUTE_COUNT|ATTRIBUTE_VALUE_LENGTH|EVENT_COUNT|LINK_COUNT)|(?:EVENT|LINK)_ATTRIBUTE_COUNT|ATTRIBUTE_(?:COUNT|VALUE_LENGTH))_LIMIT$/;

/** Returns the variables that limit spans, for another process of the same deployment. None of them contains a key. */
export function limitVariables(env: EnvironmentRecord): Record<string, string> {
  const texts = Object.keys(env).map((name) => [name, textOf(env[name] ?? "").trim()] as const);
  return Object.fromEntries(texts.filter(([name, text]) => LIMIT_VARIABLE.test(name) && text !== ""));
}

/** @param ratio called only for ratio samplers: others take no argument, or one with another meaning */
function samplerOf(name: string, ratio: () => number): Sampler {
  const root = name.endsWith("_on") ? alwaysOn : name.endsWith("_off") ? alwaysOff : traceIdRatio(ratio());
  return name.startsWith("parentbased_") ? parentBased(root) : root;
}

/** Variables whose default stands in the table. */
type VariableWithDefault = {
  [V in TracingVariable]: (typeof TRACING_VARIABLES)[V] extends string ? V : never;
}[TracingVariable];

const MAX_INTEGER = 2 ** 31 - 1;

/** Values match in any case. */
const oneOf = <const T extends string>(...values: T[]): Format<T> => [
  values.join(" or "),
  (text) => values.find((value) => value === text.toLowerCase()),
];
const BOOLEAN = oneOf("true", "false");
const COMPRESSION = oneOf("gzip", "none");
const PROTOCOL = oneOf("http/json");
const ROOT_SAMPLERS = ["always_on", "always_off", "traceidratio"];
const SAMPLER = oneOf(...ROOT_SAMPLERS, ...ROOT_SAMPLERS.map((name) => `parentbased_${name}`));

/** Comma-separated names, in lower case. */
function listOf(text: string): string[] {
  return text.split(",").flatMap((name) => name.trim().toLowerCase() || []);
}

const allOf = (...values: string[]): Format<string[]> => [
  values.join(" or "),
  (text) => (listOf(text).every((name) => values.includes(name)) ? listOf(text) : undefined),
];
const EXPORTERS = allOf("otlp", "none");
const PROPAGATORS = allOf("tracecontext", "baggage");
/**
 * Variables that would change where or how spans are sent, and are not supported: TLS certificates, other exporters, a
 * configuration file, and the bounds of an in-memory queue, since spans wait in their session's database and each request has its
 * own timeout.
 */
const NOT_HONOURED =
  /^OTEL_(?:EXPORTER_OTLP_(?:TRACES_)?(?:CERTIFICATE|CLIENT_KEY|CLIENT_CERTIFICATE|INSECURE)|EXPORTER_(?:ZIPKIN|JAEGER)_\w+|BSP_(?:EXPORT_TIMEOUT|MAX_QUEUE_SIZE|MAX_EXPORT_BATCH_SIZE)|(?:EXPERIMENTAL_)?CONFIG_FILE|ENTITIES|LOG_LEVEL)$/;

const wholeNumber = (least: number): Format<number> => [
  `a whole number from ${least} to ${MAX_INTEGER}`,
  (text) => (/^\d+$/.test(text) && +text >= least && +text <= MAX_INTEGER ? +text : undefined),
];
const COUNT = wholeNumber(0);
const RATIO: Format<number> = ["a number from 0 to 1", (text) => (+text >= 0 && +text <= 1 ? +text : undefined)];

/** A URL without user and password, since `fetch` refuses those. */
const httpUrl = (path?: string): Format<string> => [
  "an http or https URL without user and password",
  (text) => {
    const url = new URL(text);
    if (!/^https?:\/\//i.test(text) || url.username || url.password) return undefined;
    if (path) url.pathname = url.pathname.replace(/\/?$/, path);
    return url.href;
  },
];
const TRACES_URL = httpUrl();
const BASE_URL = httpUrl("/v1/traces");

/** Parses pairs in the format of W3C Baggage, without its metadata. @throws if a member is invalid: all pairs are used, or none */
function pairsOf(text: string, names: RegExp, values: RegExp): [name: string, value: string][] {
  const members = text.split(",").filter((member) => member.trim());
  return members.map((member) => {
    const [, ...parts] = /^([^=]*)=(.*)$/s.exec(member) as RegExpExecArray;
    const [name = "", value = ""] = parts.map((part) => decodeURIComponent(part.trim()));
    if (!names.test(name) || !values.test(value)) throw new SyntaxError();
    return [name, value];
  });
}
const ATTRIBUTES: Format<Record<string, string>> = [
  "name=value,name=value, percent-encoded",
  (text) => Object.fromEntries(pairsOf(text, /./s, /^/)),
];
/** Names become lower case, so that two spellings are one header. Values are those that every `fetch` accepts. */
const HEADERS: Format<Record<string, string>> = [
  `${ATTRIBUTES[0]}, of characters that HTTP headers hold`,
  (text) => {
    const headers = pairsOf(text, /^[!#$%&'*+.^_`|~\w-]+$/, /^[\t -~]*$/);
    return Object.fromEntries(headers.map(([name, value]) => [name.toLowerCase(), value]));
  },
];
