/** Bodies of OTLP requests in protobuf, for callers that have no such library. */
import { toBinary } from "@bufbuild/protobuf";
import { decodeRequest } from "../src/receiver/decode.ts";
import { ExportTraceServiceRequestSchema } from "../src/receiver/proto/opentelemetry/proto/collector/trace/v1/trace_service_pb.js";

/** Returns an `ExportTraceServiceRequest` as protobuf. @param json the same as OTLP/JSON */
export function toProtobuf(json: string): Uint8Array<ArrayBuffer> {
  const request = decodeRequest(new TextEncoder().encode(json), "json");
  if (typeof request !== "object") throw new Error("this is no ExportTraceServiceRequest");
  return toBinary(ExportTraceServiceRequestSchema, request);
}
