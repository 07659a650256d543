/**
 * Reads OTLP/JSON with the official schema, more strictly than OTLP asks of a backend: so a test sees what some backend would refuse.
 * Refused are unknown fields (also those in the schema's own spelling, `trace_id`), values of another type, enums by name and those
 * that the schema lacks, 64-bit numbers that are not strings, `null`, ids that are not lower-case hex of their length, or are zero.
 * Pure.
 */
import {
  type DescEnum,
  type DescField,
  type DescMessage,
  fromJson,
  type JsonValue,
  ScalarType,
} from "@bufbuild/protobuf";
import {
  type ExportTraceServiceRequest,
  ExportTraceServiceRequestSchema,
} from "../src/receiver/proto/opentelemetry/proto/collector/trace/v1/trace_service_pb.js";

/** The hexadecimal digits of OTLP's ids. In all other fields bytes are base64. */
const ID_DIGITS: Readonly<Record<string, number>> = { traceId: 32, spanId: 16, parentSpanId: 16 };

/** @throws TypeError that names the field */
export function readStrictly(json: string): ExportTraceServiceRequest {
  const request = toMessage(ExportTraceServiceRequestSchema, JSON.parse(json), "request");
  return fromJson(ExportTraceServiceRequestSchema, request, { ignoreUnknownFields: false });
}

function refuse(path: string, what: string, value: unknown): never {
  throw new TypeError(`${path} ${what}: ${JSON.stringify(value)?.slice(0, 200)}`);
}

/** Returns a message in protobuf's own JSON. */
function toMessage(desc: DescMessage, value: unknown, path: string): JsonValue {
  if (typeof value !== "object" || value === null || Array.isArray(value)) refuse(path, "is no object", value);
  const entries = Object.entries(value).map(([key, each]) => {
    const field = desc.fields.find(({ jsonName }) => jsonName === key);
    if (field === undefined) return refuse(`${path}.${key}`, "is no field of the schema", each);
    return [key, toField(field, each, `${path}.${key}`)];
  });
  return Object.fromEntries(entries) as JsonValue;
}

function toField(field: DescField, value: unknown, path: string): JsonValue {
  if (field.fieldKind !== "list") return toSingle(field, value, path);
  if (!Array.isArray(value)) refuse(path, "is no list", value);
  return value.map((each, index) => toSingle(field, each, `${path}[${index}]`));
}

function toSingle({ message, enum: values, scalar, jsonName }: DescField, value: unknown, path: string): JsonValue {
  if (message !== undefined) return toMessage(message, value, path);
  if (values !== undefined) return toEnum(values, value, path);
  if (jsonName in ID_DIGITS) return toId(jsonName, value, path);
  if (scalar === undefined || !isScalar(scalar, value)) refuse(path, "has another type", value);
  return value as JsonValue;
}

function toEnum({ values }: DescEnum, value: unknown, path: string): JsonValue {
  if (!values.some(({ number }) => number === value)) refuse(path, "is no number of the enum", value);
  return value as number;
}

/** An empty id is none. */
function toId(name: string, value: unknown, path: string): JsonValue {
  const isId = typeof value === "string" && value.length === ID_DIGITS[name] && /^[0-9a-f]+$/.test(value);
  if (value !== "" && (!isId || /^0+$/.test(value))) refuse(path, "is no id", value);
  return Buffer.from(value as string, "hex").toString("base64");
}

function isScalar(type: ScalarType, value: unknown): boolean {
  switch (type) {
    case ScalarType.STRING:
      return typeof value === "string";
    case ScalarType.BOOL:
      return typeof value === "boolean";
    case ScalarType.DOUBLE:
      return typeof value === "number" || value === "NaN" || value === "Infinity" || value === "-Infinity";
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 32;
    case ScalarType.INT64:
    case ScalarType.FIXED64:
      return typeof value === "string" && /^(?:0|-?[1-9]\d*)$/.test(value);
    case ScalarType.BYTES:
      return (
        typeof value === "string" && /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(value)
      );
    default:
      // OTLP has no others.
      return false;
  }
}
