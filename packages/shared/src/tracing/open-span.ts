import { isValidContext } from "./context.ts";
import type { ReadableSpan } from "./span.ts";
import { toEpochTime } from "./time.ts";

/** A span that has begun and not ended, apart from the process that holds it. The scope is that of whoever resumes it. */
export type OpenSpan = Omit<ReadableSpan, "scope" | "endTime">;

/** Written into every serialised span; a reader takes no other. */
const FORMAT = 1;

/** JSON has no word for these, so they are wrapped: `{"$": kind, "v": text}`. Attribute values are never maps, so nothing collides. */
type Wrapped = { readonly $: "bigint" | "number" | "bytes"; readonly v: string };

/** An open span as text, to be stored beside the state it describes or handed to another process. Secrets are already out. */
export function serialiseSpan(span: OpenSpan): string {
  const { context, parent, name, kind, startTime, attributes, events, links, statusCode, statusMessage } = span;
  const { droppedAttributes, droppedEvents, droppedLinks } = span;
  const open: OpenSpan = {
    ...{ context, parent, name, kind, startTime, attributes, events, links, statusCode, statusMessage },
    ...{ droppedAttributes, droppedEvents, droppedLinks },
  };
  return JSON.stringify({ format: FORMAT, ...open }, wrap);
}

/** Reads what {@link serialiseSpan} wrote. `undefined` for anything else, also for a format of another version. */
export function parseOpenSpan(text: string): OpenSpan | undefined {
  try {
    const { format, ...open } = JSON.parse(text, unwrap) as OpenSpan & { format: unknown };
    const valid =
      format === FORMAT &&
      typeof open.name === "string" &&
      isValidContext(open.context) &&
      toEpochTime(open.startTime) !== undefined &&
      [open.attributes, open.events, open.links].every(Array.isArray);
    return valid ? { ...open, parent: open.parent } : undefined;
  } catch {
    return undefined;
  }
}

function wrap(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return { $: "bigint", v: String(value) } satisfies Wrapped;
  if (typeof value === "number" && (!Number.isFinite(value) || Object.is(value, -0))) {
    return { $: "number", v: Object.is(value, -0) ? "-0" : String(value) } satisfies Wrapped;
  }
  if (value instanceof Uint8Array) {
    return {
      $: "bytes",
      v: Array.from(value, (byte) => byte.toString(16).padStart(2, "0")).join(""),
    } satisfies Wrapped;
  }
  return value;
}

function unwrap(_key: string, value: unknown): unknown {
  if (value === null || typeof value !== "object" || !("$" in value)) return value;
  const { $, v } = value as Wrapped;
  if ($ === "bigint") return BigInt(v);
  if ($ === "number") return Number(v);
  return Uint8Array.from(v.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
