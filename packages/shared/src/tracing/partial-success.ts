/**
 * Reads the partial success of an `ExportTraceServiceResponse` in OTLP's two encodings. Pure.
 *
 * Written by hand, as the tracer's JSON is: of protobuf it takes two fields of one message, and a library with generated code would
 * go to everything that exports spans. The runner's tests compare it with the official schema.
 */

/** What a backend says of a request that it has answered with a success. */
export interface PartialSuccess {
  /** How many of its spans the backend rejected; it may name more than it was sent. */
  readonly rejectedSpans: number;
  /** The backend's message, or what is wrong with its count; empty if there is nothing to say. */
  readonly message: string;
  /** The backend gives a count that is none: it may have rejected any of the spans. */
  readonly isUncounted?: true;
}

const NOTHING: PartialSuccess = { rejectedSpans: 0, message: "" };
/** How much of a count that is none is shown. */
const MAX_SHOWN = 40;
/** How much of a message is kept, in UTF-16 code units: it is logged, and an answer may have megabytes. */
const MAX_MESSAGE = 1000;

/** Reads a JSON response, in which a 64-bit number is a string. */
export function partialSuccessInJson(response: object): PartialSuccess {
  const { partialSuccess } = response as { partialSuccess?: unknown };
  const { rejectedSpans = 0, errorMessage } = Object(partialSuccess) as Record<string, unknown>;
  const isNumber = typeof rejectedSpans === "number" || (typeof rejectedSpans === "string" && rejectedSpans.trim());
  const count = rejectedSpans === null ? 0 : isNumber ? Number(rejectedSpans) : Number.NaN;
  return counted(count, rejectedSpans, textIn(errorMessage));
}

/** Reads a protobuf response; `undefined` if it is none. */
export function partialSuccessInProtobuf(response: Uint8Array): PartialSuccess | undefined {
  try {
    let [rejected, message] = [0n, ""];
    for (const { number, value } of fieldsOf(response)) {
      // `partial_success` may come in parts, of which the last of each field counts.
      if (number !== 1 || !(value instanceof Uint8Array)) continue;
      for (const field of fieldsOf(value)) {
        if (field.number === 1 && typeof field.value === "bigint") rejected = BigInt.asIntN(64, field.value);
        if (field.number === 2 && field.value instanceof Uint8Array) message = textOf(field.value);
      }
    }
    return counted(Number(rejected), String(rejected), message);
  } catch {
    return undefined;
  }
}

/** Returns a text as it is, and any other JSON value as JSON: it may be an object that says that it cannot be a text. */
function textIn(value: unknown): string {
  if (typeof value === "string") return value;
  return value === undefined || value === null ? "" : JSON.stringify(value);
}

/** @param given the count as the backend wrote it */
function counted(count: number, given: unknown, whole: string): PartialSuccess {
  const message = whole.slice(0, MAX_MESSAGE).toWellFormed();
  if (count === 0) return { ...NOTHING, message };
  // A number beyond this is above what was sent, too.
  if (count > 0 && (Number.isInteger(count) || count === Infinity))
    return { rejectedSpans: Math.min(count, Number.MAX_SAFE_INTEGER), message };
  const isNone = `rejectedSpans is ${textIn(given).slice(0, MAX_SHOWN)}, which is no count`;
  return { rejectedSpans: 0, message: message === "" ? isNone : `${isNone}: ${message}`, isUncounted: true };
}

interface Field {
  readonly number: number;
  /** Of a varint the number; of a length-delimited field its bytes; else nothing, as no field that matters has another type. */
  readonly value: bigint | Uint8Array | undefined;
}

/** Yields the fields of a message. @throws if it is malformed */
function* fieldsOf(message: Uint8Array): Generator<Field> {
  const left = { bytes: message };
  while (left.bytes.length > 0) {
    const tag = Number(takeVarint(left));
    const number = Math.floor(tag / 8);
    if (number === 0) throw new RangeError("no field has the number 0");
    yield { number, value: takeValue(left, tag % 8) };
  }
}

function takeValue(left: { bytes: Uint8Array }, wireType: number): Field["value"] {
  if (wireType === 0) return takeVarint(left);
  if (wireType === 1) return void take(left, 8);
  if (wireType === 2) return take(left, Number(takeVarint(left)));
  if (wireType === 5) return void take(left, 4);
  throw new RangeError(`the wire type ${wireType} is not read`);
}

function take(left: { bytes: Uint8Array }, length: number): Uint8Array {
  if (length > left.bytes.length) throw new RangeError("the message is cut off");
  const taken = left.bytes.subarray(0, length);
  left.bytes = left.bytes.subarray(length);
  return taken;
}

/** Takes a varint, which has at most ten bytes of seven bits. */
function takeVarint(left: { bytes: Uint8Array }): bigint {
  let value = 0n;
  for (let index = 0n; index < 10n; index++) {
    const [byte = 0] = take(left, 1);
    value |= BigInt(byte & 0x7f) << (7n * index);
    if (byte < 0x80) return BigInt.asUintN(64, value);
  }
  throw new RangeError("a number is too long");
}

/** A message that is no UTF-8 must not hide the count. */
function textOf(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { fatal: false, ignoreBOM: true }).decode(bytes);
}
