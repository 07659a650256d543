/** What most likely keeps spans from a backend, for whoever can change it. Pure, and in no bundle that does not ask for it. */

export interface ExportFailure {
  /** Of the endpoint, with its port. */
  readonly host: string;
  /** A code, as attempts to send give it. */
  readonly reason: string;
  readonly status?: number | undefined;
}

/** A sentence without its full stop; `undefined` where the reason says all that there is to say. */
export function exportHint({ host, reason, status = 0 }: ExportFailure): string | undefined {
  // Before all else: whatever a port for gRPC answers is no answer to HTTP.
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
  // workerd says no more than that.
  if (reason === "connection failed") {
    return "nothing answers there, or, with https, its certificate is not trusted: locally, name its authority's file in NODE_EXTRA_CA_CERTS";
  }
  if (reason === "ENOTFOUND") return "there is no such host";
  if (/CERT|SELF_SIGNED|UNABLE_TO_/.test(reason)) {
    return "the certificate is not trusted: locally, name its authority's file in NODE_EXTRA_CA_CERTS";
  }
  return undefined;
}

/** The host of an endpoint, with its port where the scheme does not say it: for warnings, without path, query and user. */
export function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : "";
}
