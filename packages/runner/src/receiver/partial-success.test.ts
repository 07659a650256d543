// The exporter's reader of partial successes, which is written by hand, beside the official schema.
import { create, toBinary } from "@bufbuild/protobuf";
import { OtlpExporter } from "@valet/shared/tracing";
import fc from "fast-check";
import { expect, test } from "vitest";
import { ExportTraceServiceResponseSchema } from "./proto/opentelemetry/proto/collector/trace/v1/trace_service_pb.js";

/** Returns what the exporter makes of an answer in protobuf. */
function read(answer: Uint8Array) {
  const response = () =>
    new Response(new Uint8Array(answer), { headers: { "content-type": "application/x-protobuf" } });
  const exporter = new OtlpExporter({ url: "http://backend.test", fetch: (async () => response()) as never });
  return exporter.send({ body: new Uint8Array(), gzip: false });
}

function encode(rejectedSpans: bigint, errorMessage: string): Uint8Array {
  return toBinary(
    ExportTraceServiceResponseSchema,
    create(ExportTraceServiceResponseSchema, { partialSuccess: { rejectedSpans, errorMessage } }),
  );
}

const INT64 = { min: -(2n ** 63n), max: 2n ** 63n - 1n };

test("every partial success is read as the official schema writes it", async () => {
  const property = fc.asyncProperty(
    fc.oneof(fc.bigInt(INT64), fc.bigInt({ min: -3n, max: 300n })),
    fc.string({ unit: "grapheme" }),
    async (rejected, message) => {
      const result = await read(encode(rejected, message));
      if (rejected >= 0n) {
        const rejectedSpans = Math.min(Number(rejected), Number.MAX_SAFE_INTEGER);
        expect(result).toEqual({ outcome: "delivered", rejectedSpans, message });
      } else {
        const why = `rejectedSpans is ${rejected}, which is no count${message && ": "}${message}`;
        expect(result).toEqual({ outcome: "delivered", rejectedSpans: 0, message: why, isUncounted: true });
      }
    },
  );
  await fc.assert(property, { numRuns: 300 });
});

test("whatever the bytes are, an answer is judged", async () => {
  const property = fc.asyncProperty(fc.uint8Array({ maxLength: 40 }), async (bytes) => {
    const { outcome } = await read(bytes);
    expect(["delivered", "held"]).toContain(outcome);
  });
  await fc.assert(property, { numRuns: 300 });
});

test("fields of later versions are passed over, and the last of a repeated field counts", async () => {
  // Field 3 as fixed64, field 4 as fixed32, field 5 as text; then the message.
  const unknown = [0x19, ...new Uint8Array(8), 0x25, ...new Uint8Array(4), 0x2a, 0x01, 0x61];
  const parts = [...encode(2n, "old"), ...unknown, ...encode(7n, "")];
  expect(await read(Uint8Array.from(parts))).toEqual({ outcome: "delivered", rejectedSpans: 7, message: "old" });
});
