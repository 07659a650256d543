/**
 * Bounds, cleans and writes what an agent's command put into its spans, as the values of OTLP/JSON. Pure, except for the list of
 * secrets, which grows.
 */
import { SESSION_KEYS } from "@valet/shared/spans";
import { redactSecrets } from "@valet/shared/tracing";
import type { AnyValue, KeyValue } from "./proto/opentelemetry/proto/common/v1/common_pb.js";

/** The limits of foreign spans, each of which OpenTelemetry has a variable for, too. */
export interface ValueLimits {
  readonly attributes: number;
  /** In UTF-16 code units. */
  readonly attributeValueLength: number;
}

export interface CleanOptions {
  /** Removes the secrets that the runner knows. */
  readonly redact: (text: string) => string;
  /** Whether people allow that content is recorded. */
  readonly captureContent: boolean;
}

export interface WireAttributes {
  readonly attributes: readonly WireAttribute[];
  readonly droppedAttributesCount: number;
}

export interface WireAttribute {
  readonly key: string;
  readonly value: WireValue;
}

export type WireValue = { readonly [type: string]: unknown };

/** Deeper values are left out. */
const MAX_DEPTH = 8;
/** Of a list or a map. */
const MAX_ELEMENTS = 128;
const MAX_KEY_LENGTH = 256;

/**
 * Keys with content, which are recorded only if content capture is on: those of the catalogue, and others of OpenTelemetry's
 * conventions. A stack trace begins with its exception's message.
 */
export const CONTENT_KEYS: ReadonlySet<string> = new Set([
  "gen_ai.input.messages",
  "gen_ai.output.messages",
  "gen_ai.system_instructions",
  "gen_ai.tool.definitions",
  "gen_ai.tool.call.arguments",
  "gen_ai.tool.call.result",
  "error.message",
  "exception.message",
  "exception.stacktrace",
]);

/**
 * The beginnings of keys, up to a dot, by which libraries record what models and tools read and write: OpenLLMetry (also with an index:
 * `gen_ai.prompt.0.content`), OpenInference, Vercel's AI SDK, Pydantic AI and Langfuse.
 */
const CONTENT_FAMILIES = [
  /gen_ai\.(?:prompt|completion|event\.content|retrieval\.(?:documents|query\.text))/,
  /traceloop\.entity\.(?:input|output)/,
  /(?:input|output)\.value/,
  /llm\.(?:(?:input|output)_messages|prompts|completions|choices|prompt_template|function_call|tools)/,
  /tool\.(?:parameters|json_schema)|tool_call\.function\.arguments|message\.(?:content|contents|tool_calls)/,
  /(?:retrieval|reranker)\.(?:documents|query|input_documents|output_documents)|document\.content|embedding\.(?:text|embeddings)/,
  /ai\.(?:prompt|value|values|(?:response|result)\.(?:text|object|reasoning|toolCalls)|toolCall\.(?:args|result))/,
  /pydantic_ai\.all_messages|all_messages_events|final_result|tool_arguments|tool_response/,
  /langfuse\.(?:trace|observation)\.(?:input|output)/,
];
const OF_CONTENT_FAMILY = new RegExp(`^(?:${CONTENT_FAMILIES.map(({ source }) => source).join("|")})(?:\\.|$)`);

/** Returns a text of the span: bounded, without secrets, and well-formed. */
export function cleanText(text: string, maxLength: number, { redact }: CleanOptions, key = ""): string {
  // Redacted first, since the beginning of a secret is none that the redactor knows.
  const clean = redactSecrets(key, redact(text.toWellFormed()));
  return clean.length <= maxLength ? clean : clean.slice(0, maxLength).toWellFormed();
}

/**
 * Returns attributes with unique, named keys, without those that only Valet may set, and those with content if it is not captured.
 * What a limit leaves out is counted as dropped; what nobody may set is not.
 */
export function cleanAttributes(list: readonly KeyValue[], limits: ValueLimits, options: CleanOptions): WireAttributes {
  const attributes = new Map<string, WireValue>();
  let dropped = 0;
  for (const { key: rawKey, value } of list) {
    if (isValets(rawKey) || isLeftOut(rawKey, options)) continue;
    const key = cleanText(rawKey, MAX_KEY_LENGTH, options);
    if (key === "" || attributes.has(key) || attributes.size >= limits.attributes) dropped++;
    else attributes.set(key, cleanValue(key, value, limits, options, 0));
  }
  return { attributes: Array.from(attributes, ([key, value]) => ({ key, value })), droppedAttributesCount: dropped };
}

/** The session is the object's to name, and whatever else begins with `valet.` is Valet's to say. */
function isValets(key: string): boolean {
  return key.startsWith("valet.") || SESSION_KEYS.some((each) => each === key);
}

/** Whether the key is one of content, which nobody allows to record. */
function isLeftOut(key: string, { captureContent }: CleanOptions): boolean {
  return !captureContent && (CONTENT_KEYS.has(key) || OF_CONTENT_FAMILY.test(key));
}

/** Whether a key says that whatever it has is a secret. */
function namesSecret(key: string): boolean {
  return redactSecrets(key, "x") !== "x";
}

function cleanValue(
  key: string,
  any: AnyValue | undefined,
  limits: ValueLimits,
  options: CleanOptions,
  depth: number,
): WireValue {
  if (any === undefined || depth > MAX_DEPTH) return {};
  const { value } = any;
  switch (value.case) {
    case "stringValue":
      return { stringValue: cleanText(value.value, limits.attributeValueLength, options, key) };
    case "boolValue":
      return { boolValue: value.value };
    case "intValue":
      return { intValue: value.value.toString() };
    case "doubleValue":
      return { doubleValue: Number.isFinite(value.value) ? value.value : String(value.value) };
    case "bytesValue":
      return { bytesValue: cleanBytes(key, value.value, limits, options) };
    case "arrayValue": {
      const values = value.value.values.slice(0, MAX_ELEMENTS);
      return { arrayValue: { values: values.map((each) => cleanValue(key, each, limits, options, depth + 1)) } };
    }
    case "kvlistValue": {
      const values = new Map<string, WireValue>();
      for (const each of value.value.values.slice(0, MAX_ELEMENTS)) {
        const inner = cleanText(each.key, MAX_KEY_LENGTH, options);
        if (inner === "" || values.has(inner) || isLeftOut(each.key, options)) continue;
        const named = namesSecret(key) ? key : inner;
        values.set(inner, cleanValue(named, each.value, limits, options, depth + 1));
      }
      return { kvlistValue: { values: Array.from(values, ([inner, each]) => ({ key: inner, value: each })) } };
    }
    default:
      // `stringValueStrindex` is for profiles only; OTLP asks to treat it as empty.
      return {};
  }
}

/**
 * Bytes with a secret in them, as text or in base64, are replaced completely. All of them are searched, since the beginning of a secret is
 * none that the redactor knows.
 */
function cleanBytes(
  key: string,
  bytes: Uint8Array,
  { attributeValueLength }: ValueLimits,
  { redact }: CleanOptions,
): string {
  const buffer = Buffer.from(bytes);
  const isClean = (["utf8", "latin1"] as const).every((encoding) => {
    const text = buffer.toString(encoding);
    return redactSecrets(key, redact(text)) === text;
  });
  return isClean ? buffer.subarray(0, attributeValueLength).toString("base64") : "";
}
