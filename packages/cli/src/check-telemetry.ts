/** Checks whether spans would reach the backend that this environment names, by sending it an empty export request. */
import { type EnvironmentRecord, exportHint, hostOf, OtlpExporter, readTracingConfig } from "@valet/shared/tracing";

/** The source of the variables. */
export const SHELL = "this shell's environment";

export interface Finding {
  readonly name: string;
  /** `note`: not required. */
  readonly state: "ok" | "note" | "missing";
  readonly detail: string;
  /** Where the finding comes from, if not from this machine itself. */
  readonly source?: string;
}

const TIMEOUT_MS = 10_000;
/** What to do in place of a variable that Valet does not support. */
const INSTEAD =
  "to trust a backend's certificate, name its authority's file in NODE_EXTRA_CA_CERTS where `valet up` runs";

/** What follows from an invalid variable because of which nothing is exported, by the end of its name. It continues the sentence about it. */
const NOTHING_EXPORTED: readonly (readonly [end: string, consequence: string])[] = [
  ["_ENDPOINT", "such as http://127.0.0.1:4318; nothing is exported until it is corrected"],
  ["OTEL_TRACES_EXPORTER", "since Valet has no other; nothing is exported until it is corrected"],
];
const WITHOUT_HEADERS =
  "such as Authorization=Basic%20…; spans are sent without any, so without a key, until it is corrected";

/** Returns a finding for each invalid variable, and one for the backend. */
export function checkTelemetry(env: EnvironmentRecord): (Finding | Promise<Finding>)[] {
  const variables = checkTelemetryVariables(env);
  const config = readTracingConfig(env);
  return [...variables, checkBackend(config, variables).then((finding) => ({ ...finding, source: SHELL }))];
}

/** Returns a finding for each invalid variable; those that keep spans from the backend are `missing`. */
export function checkTelemetryVariables(env: EnvironmentRecord): Finding[] {
  const invalid: (readonly [name: string, message: string])[] = [];
  const { endpoint } = readTracingConfig(env, (diagnostic) => {
    if (diagnostic.type === "config_invalid") invalid.push([diagnostic.variable, diagnostic.message]);
  });
  return invalid.map(([name, message]) => {
    const isSent = endpoint !== undefined && name.endsWith("_HEADERS");
    const consequence = isSent ? WITHOUT_HEADERS : consequenceOf(name);
    const more = name.endsWith("CERTIFICATE") ? `; ${INSTEAD}` : consequence && `, ${consequence}`;
    const detail = `${message}${more ?? ""}`;
    return { name, state: consequence === undefined ? "note" : "missing", detail, source: SHELL };
  });
}

function consequenceOf(variable: string): string | undefined {
  return NOTHING_EXPORTED.find(([end]) => variable.endsWith(end))?.[1];
}

/**
 * POSTs an empty request with the configured headers. The backend accepts or refuses it for the same reasons as spans.
 */
async function checkBackend(
  { enabled, endpoint: url, headers, compression }: ReturnType<typeof readTracingConfig>,
  variables: readonly Finding[],
): Promise<Finding> {
  const name = "backend";
  if (!enabled) return { name, state: "note", detail: "there are no spans: OTEL_SDK_DISABLED turns tracing off" };
  if (url === undefined) {
    const invalid = variables.find(({ name: variable }) => consequenceOf(variable) !== undefined);
    const why = invalid === undefined ? "set OTEL_EXPORTER_OTLP_ENDPOINT to export them" : `correct ${invalid.name}`;
    return { name, state: "note", detail: `spans stay in Valet: ${why}` };
  }
  const exporter = new OtlpExporter({ url, headers, compression, timeoutMs: TIMEOUT_MS });
  const request = await exporter.encode({}, []);
  if (request === undefined) throw new Error("an empty request is too large");
  const result = await exporter.send(request);
  const host = hostOf(url);
  if (result.outcome === "delivered") {
    const { message, isUnexpected, isUnread, rejectedSpans, isUncounted } = result;
    if (rejectedSpans > 0 || isUncounted) {
      const why = message === "" ? "" : `, with the message: ${message}`;
      const detail = `${host} accepts a request and rejects its spans${why}; they would be lost: read the backend's own log and limits`;
      return { name, state: "missing", detail };
    }
    if (isUnread) {
      const detail = `${host} accepts an empty request, but not with a backend's answer (${message}): is it an OTLP endpoint? Spans would be counted as delivered`;
      return { name, state: "note", detail };
    }
    if (!isUnexpected)
      return { name, state: "ok", detail: `${host} takes spans${message && `, with the message: ${message}`}` };
    return {
      name,
      state: "note",
      detail: `${host} answers with ${message}: is it an OTLP endpoint? Spans would be counted as delivered`,
    };
  }
  const { reason, status } = result;
  // Some backends reject an empty request as malformed; whether they accept spans is then unknown.
  if (status === 400) return { name, state: "note", detail: `${host} refuses an empty request (HTTP 400)` };
  const hint = exportHint({ host, reason, status });
  const fate =
    result.outcome === "held"
      ? "spans would be held"
      : result.outcome === "retry"
        ? "spans would wait"
        : "spans would be dropped";
  return { name, state: "missing", detail: `${host}: ${failedText(reason, hint, fate)}` };
}

/** Names of errors of the system and of TLS, which a hint says in words. */
const CODE = /^[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*$/;

function failedText(reason: string, hint: string | undefined, fate: string): string {
  if (hint === undefined) return `${reason}; ${fate}`;
  return CODE.test(reason) ? `${hint}; ${fate}` : `${reason}; ${fate}: ${hint}`;
}
