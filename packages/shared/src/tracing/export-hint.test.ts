import { expect, test } from "vitest";
import { type ExportFailure, exportHint, hostOf } from "./export-hint.ts";

test.each<[ExportFailure, RegExp]>([
  [{ host: "collector:4317", reason: "connection failed" }, /gRPC.*4318/],
  [{ host: "collector:4317", reason: "HTTP 415", status: 415 }, /gRPC/],
  [{ host: "h", reason: "web page", status: 200 }, /web page/],
  [{ host: "h", reason: "HTTP 401", status: 401 }, /OTEL_EXPORTER_OTLP_HEADERS/],
  [{ host: "h", reason: "HTTP 403", status: 403 }, /OTEL_EXPORTER_OTLP_HEADERS/],
  [{ host: "h", reason: "HTTP 404", status: 404 }, /\/v1\/traces/],
  [{ host: "h", reason: "HTTP 405", status: 405 }, /\/v1\/traces/],
  [{ host: "h", reason: "HTTP 307", status: 307 }, /redirects/],
  [{ host: "h", reason: "redirect", status: 0 }, /redirects/],
  [{ host: "h", reason: "HTTP 415", status: 415 }, /JSON/],
  [{ host: "h", reason: "ECONNREFUSED" }, /nothing listens/],
  [{ host: "h", reason: "ECONNRESET" }, /was reset/],
  [{ host: "h", reason: "ENETUNREACH" }, /no route/],
  [{ host: "h", reason: "connection failed" }, /nothing answers.*NODE_EXTRA_CA_CERTS/],
  [{ host: "h", reason: "bad port" }, /another protocol/],
  [{ host: "h", reason: "ENOTFOUND" }, /no such host/],
  [{ host: "h", reason: "DEPTH_ZERO_SELF_SIGNED_CERT" }, /NODE_EXTRA_CA_CERTS/],
  [{ host: "h", reason: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" }, /NODE_EXTRA_CA_CERTS/],
])("of %j", (failure, hint) => {
  expect(exportHint(failure)).toMatch(hint);
});

test("there is no hint if the reason says everything", () => {
  expect(exportHint({ host: "h:443", reason: "HTTP 503", status: 503 })).toBeUndefined();
  expect(exportHint({ host: "h:14317", reason: "timeout" })).toBeUndefined();
});

test("a host is named with its port, and never with a user, a path or a query", () => {
  expect(hostOf("https://user:secret@otlp.example:8443/otlp?key=secret")).toBe("otlp.example:8443");
  expect(hostOf("https://otlp.example/v1/traces")).toBe("otlp.example");
  expect(hostOf("nonsense")).toBe("");
});
