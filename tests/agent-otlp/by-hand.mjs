// A program without an SDK that sends its spans as protobuf, which it writes by hand, gzip'd. With HONOURS_CONTEXT=1 it continues the
// trace of TRACEPARENT.
import { randomBytes } from "node:crypto";
import { gzipSync } from "node:zlib";

const { HONOURS_CONTEXT, OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS = "", TRACEPARENT = "" } = process.env;

function varint(value) {
  const bytes = [];
  for (let left = value; ; left >>>= 7) {
    if (left < 128) return Buffer.from([...bytes, left]);
    bytes.push((left & 127) | 128);
  }
}

/** Length-delimited: bytes, text, or messages. */
function field(number, ...parts) {
  const content = Buffer.concat(parts.map((part) => Buffer.from(part)));
  return Buffer.concat([varint((number << 3) | 2), varint(content.length), content]);
}

function fixed64(number, value) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return Buffer.concat([varint((number << 3) | 1), bytes]);
}

const now = () => BigInt(Date.now()) * 1_000_000n;
const [, tracePart, parentPart] = TRACEPARENT.split("-");
const honours = HONOURS_CONTEXT === "1";
const traceId = honours ? Buffer.from(tracePart, "hex") : randomBytes(16);
const [programId, stepId] = [randomBytes(8), randomBytes(8)];
const startNs = now();

function span(id, parentId, name) {
  const parent = parentId === undefined ? [] : [field(4, parentId)];
  const kind = Buffer.concat([varint(6 << 3), varint(1)]);
  return field(
    2,
    field(1, traceId),
    field(2, id),
    ...parent,
    field(5, name),
    kind,
    fixed64(7, startNs),
    fixed64(8, now()),
  );
}

const resource = field(1, field(1, field(1, "service.name"), field(2, field(1, "program by hand"))));
const spans = [
  span(programId, honours ? Buffer.from(parentPart, "hex") : undefined, "program by hand"),
  span(stepId, programId, "step by hand"),
];
const body = field(1, resource, field(2, field(1, field(1, "by hand")), ...spans));
const [header, secret] = OTEL_EXPORTER_OTLP_HEADERS.split("=");
const response = await fetch(`${OTEL_EXPORTER_OTLP_ENDPOINT}/v1/traces`, {
  method: "POST",
  headers: { "content-type": "application/x-protobuf", "content-encoding": "gzip", [header]: secret },
  body: gzipSync(body),
});
// An answer with a body says that spans were rejected.
const answer = await response.text();
if (!response.ok || answer !== "") throw new Error(`${response.status} ${answer}`);
