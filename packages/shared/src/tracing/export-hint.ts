/**
 * Guesses why spans do not reach a backend, and says what to change. Pure; a bundle that does not import it does not contain it.
 */

export interface ExportFailure {
  /** The endpoint's host, with its port. */
  readonly host: string;
  /** The reason of a failed export attempt: a code. */
  readonly reason: string;
  readonly status?: number | undefined;
}

/** Returns a sentence without its full stop; `undefined` if the reason says everything. */
export function exportHint({ host, reason, status = 0 }: ExportFailure): string | undefined {
  // First, since the response of a gRPC port says nothing about HTTP.
  if (/:4317$/.test(host)) return "4317 is the port of OTLP over gRPC; Valet speaks OTLP over HTTP, mostly at 4318";
  if (reason === "web page")
    return "a web page answers there: a login, a proxy, or a backend's page instead of its endpoint";
  if (status === 401 || status === 403) {
    return "the backend wants another key: set OTEL_EXPORTER_OTLP_HEADERS, as Authorization=Basic%20…";
  }
  if (status === 404 || status === 405) {
    return "the path is wrong: /v1/traces is appended to OTEL_EXPORTER_OTLP_ENDPOINT, and nothing to OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
  }
  if (reason === "redirect" || (status >= 300 && status < 400)) {
    return "redirects are not followed: set OTEL_EXPORTER_OTLP_ENDPOINT to where it leads";
  }
  if (status === 415) return "the backend does not take OTLP as JSON";
  if (reason === "ECONNREFUSED") return "nothing listens there";
  // workerd gives no further reason.
  if (reason === "connection failed") {
    return "nothing answers there, or, with https, its certificate is not trusted: locally, name its authority's file in NODE_EXTRA_CA_CERTS";
  }
  if (reason === "bad port") return "no HTTP client uses this port, since it is another protocol's";
  if (reason === "ENOTFOUND") return "there is no such host";
  if (reason === "ECONNRESET") return "the connection was reset";
  if (reason === "ETIMEDOUT") return "no connection came about in time";
  if (reason === "EHOSTUNREACH" || reason === "ENETUNREACH") return "there is no route to it";
  if (/CERT|SELF_SIGNED|UNABLE_TO_/.test(reason)) {
    return "the certificate is not trusted: locally, name its authority's file in NODE_EXTRA_CA_CERTS";
  }
  return undefined;
}

/** Returns the host of an endpoint for warnings, with any port that is not the scheme's default, without path, query and user. */
export function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : "";
}
