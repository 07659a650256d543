/** What an instrumented program sends: requests to a server and to its database, in traces of their own. */
import { createHash } from "node:crypto";
import { toProtobuf } from "../../packages/runner/test/otlp-bodies.ts";

export type Encoding = "protobuf" | "JSON";

/** As a batch processor of an SDK sends them. */
export const BATCH_SPANS = 512;
const TRACE_SPANS = 8;

/** Returns the bodies of a number of batches. Each span has another id. @param name makes them different from others */
export function makeBodies(encoding: Encoding, name: string, batches: number): (string | Uint8Array<ArrayBuffer>)[] {
  const startNs = BigInt(Date.now()) * 1_000_000n;
  return Array.from({ length: batches }, (_, batch) => {
    const spans = Array.from({ length: BATCH_SPANS }, (_, index) => spanOf(name, batch * BATCH_SPANS + index, startNs));
    const attributes = attributesOf({ "service.name": "shop", "telemetry.sdk.language": "nodejs", "process.pid": 42 });
    const scopeSpans = [{ scope: { name: "@opentelemetry/instrumentation-http", version: "0.220.0" }, spans }];
    const json = JSON.stringify({ resourceSpans: [{ resource: { attributes }, scopeSpans }] });
    return encoding === "JSON" ? json : toProtobuf(json);
  });
}

function spanOf(name: string, index: number, startNs: bigint) {
  const place = index % TRACE_SPANS;
  const first = index - place;
  const start = startNs + BigInt(index) * 1000n;
  return {
    traceId: idOf(`${name} trace ${first}`, 32),
    spanId: idOf(`${name} ${index}`, 16),
    ...(place > 0 && { parentSpanId: idOf(`${name} ${first}`, 16) }),
    flags: 0x101,
    name: place === 0 ? "GET /users/:id" : "SELECT users",
    kind: place === 0 ? 2 : 3,
    startTimeUnixNano: start.toString(),
    endTimeUnixNano: (start + 900_000n).toString(),
    attributes: attributesOf({
      "http.request.method": "GET",
      "url.full": `http://127.0.0.1:3000/users/${index}?verbose=1`,
      "http.response.status_code": 200,
      "server.address": "127.0.0.1",
      "server.port": 3000,
      "db.system.name": "postgresql",
      "db.query.text": "SELECT id, name, email FROM users WHERE id = $1",
      "thread.id": 1,
    }),
    status: {},
  };
}

function idOf(text: string, digits: number): string {
  return createHash("sha256").update(text).digest("hex").slice(0, digits);
}

function attributesOf(values: Readonly<Record<string, string | number>>) {
  return Object.entries(values).map(([key, value]) => ({
    key,
    value: typeof value === "number" ? { intValue: String(value) } : { stringValue: value },
  }));
}
