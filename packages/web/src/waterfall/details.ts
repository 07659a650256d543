/** What is said of a span beside its name and its bar. Pure. */
import { HEARD } from "@valet/shared/heard";
import { ERRORS } from "@valet/shared/spans";
import { formatAge, formatDuration, NBSP } from "../format/duration.ts";
import { formatTokens } from "../format/figures.ts";
import type { Item, Oddity } from "./item.ts";
import { numberOf, type OtlpSpan } from "./otlp.ts";

/** The attribute that tells most about a span, by the beginning of its name. The first that a span has is shown. */
const TELLING: readonly (readonly [beginning: string, ...keys: string[]])[] = [
  ["valet.queue.wait", "valet.queue.reason"],
  ["execute_tool ", "gen_ai.tool.call.arguments"],
  ["valet.prompt.dispatch", "valet.dispatch.attempt"],
  ["valet.workflow.dispatch", "valet.dispatch.attempt"],
  ["valet.prompt", "valet.message.id"],
  ["valet.sandbox.", "valet.sandbox.step", "valet.sandbox.id"],
  ["valet.permission.wait", "valet.permission.type"],
  ["valet.retry.wait", "valet.llm.attempt"],
  ["valet.agent.mcp_", "valet.mcp.server.name"],
];
const LONGEST = 120;

/** Returns what is shown in grey beside a span's name; empty if nothing is known. */
export function detailOf({ span }: Item, otlp: OtlpSpan | undefined): string {
  const parts: string[] = [];
  const failure = reasonOf(otlp);
  if (failure !== undefined) parts.push(failure);
  else if (span.outcome !== undefined && span.outcome !== "ok") parts.push(span.outcome);
  const input = numberOf(otlp, "gen_ai.usage.input_tokens");
  const output = numberOf(otlp, "gen_ai.usage.output_tokens");
  if (input !== undefined || output !== undefined)
    parts.push(`${formatTokens(input)} in · ${formatTokens(output)} out`);
  const status = otlp?.attributes.get("http.response.status_code");
  if (status !== undefined) parts.push(status);
  const [beginning = "", ...keys] = TELLING.find(([start]) => span.name.startsWith(start)) ?? [];
  const told = keys.map((key) => otlp?.attributes.get(key)).find((value) => value !== undefined && value !== "");
  if (told !== undefined) parts.push(beginning.endsWith(".dispatch") ? `attempt ${told}` : told.slice(0, LONGEST));
  if (span.endUs === undefined) parts.unshift("open");
  return parts.join(" · ");
}

/** Returns why a span did not end with `ok`, as a name of the table of errors. */
export function reasonOf(otlp: OtlpSpan | undefined): string | undefined {
  return otlp?.attributes.get("error.type") ?? otlp?.attributes.get("valet.outcome.reason");
}

/** Returns what an error type means and what to do about it, as sentences; `undefined` for one that is not Valet's. */
export function explainError(type: string | undefined): { meaning: string; remedy: string | undefined } | undefined {
  if (type === undefined || !Object.hasOwn(ERRORS, type)) return undefined;
  const { meaning, remedy } = ERRORS[type as keyof typeof ERRORS];
  return { meaning: `${meaning.charAt(0).toUpperCase()}${meaning.slice(1)}.`, remedy: remedy ?? undefined };
}

/** Returns the last sign of life of a sealed span, µs since 1970; `undefined` if it is not known. */
export function lastSeenUs(item: Item, otlp: OtlpSpan | undefined): number | undefined {
  const ms = item.span.isSealed ? numberOf(otlp, "valet.last_seen_ms") : undefined;
  if (ms === undefined) return undefined;
  return Math.min(Math.max(ms * 1000, item.span.startUs), item.span.endUs ?? Number.MAX_SAFE_INTEGER);
}

/** Returns when the first byte of a model call came, µs since 1970; `undefined` if it is not known. */
export function firstByteUs({ kind, span }: Item, otlp: OtlpSpan | undefined): number | undefined {
  if (kind !== "model") return undefined;
  const seconds = numberOf(otlp, "gen_ai.response.time_to_first_chunk");
  const { first } = heardOf(otlp);
  const us = seconds !== undefined ? span.startUs + seconds * 1e6 : first !== undefined ? first * 1000 : undefined;
  if (us === undefined) return undefined;
  return Math.min(Math.max(us, span.startUs), span.endUs ?? Number.MAX_SAFE_INTEGER);
}

/** When an open span was last heard of, by what was heard; epoch ms. */
export function heardOf(otlp: OtlpSpan | undefined): Readonly<Record<keyof typeof HEARD, number | undefined>> {
  return {
    content: numberOf(otlp, HEARD.content),
    byte: numberOf(otlp, HEARD.byte),
    request: numberOf(otlp, HEARD.request),
    first: numberOf(otlp, HEARD.first),
  };
}

/** Whether an open model call is known to have got no answer yet. */
export function awaitsFirstByte({ kind, span }: Item, otlp: OtlpSpan | undefined): boolean {
  if (kind !== "model" || span.endUs !== undefined || otlp === undefined) return false;
  const { content, byte } = heardOf(otlp);
  return content === undefined && byte === undefined;
}

/** Returns the note beside an open span's bar: what is missing, or when it was last heard of. */
export function openNote(item: Item, otlp: OtlpSpan | undefined, nowMs: number): string | undefined {
  if (item.span.endUs !== undefined || item.children.length > 0 || otlp === undefined) return undefined;
  if (awaitsFirstByte(item, otlp)) return "no byte yet";
  const { content, byte } = heardOf(otlp);
  const last = Math.max(content ?? 0, byte ?? 0);
  return last === 0 ? undefined : `last heard ${formatAge(ageMs(item, last, nowMs))}${NBSP}ago`;
}

/** Returns how long ago something was at a span. @param atMs by the clock of the span's process */
export function ageMs({ shiftUs }: Pick<Item, "shiftUs">, atMs: number, nowMs: number): number {
  return Math.max(0, nowMs - atMs - shiftUs / 1000);
}

/** Returns the note beside a sealed span's bar. */
export function sealNote({ span, children }: Item, otlp: OtlpSpan | undefined): string | undefined {
  // Those above say the same: the innermost is where it happened.
  if (!span.isSealed || children.some((child) => child.span.isSealed)) return undefined;
  const type = reasonOf(otlp);
  const error = type === undefined ? undefined : explainError(type);
  const cause = otlp?.attributes.get("valet.error.cause") ?? otlp?.statusMessage;
  const why = cause ?? (error === undefined ? type : plainMeaning(error.meaning));
  return why === undefined ? "sealed: its process is gone" : `sealed: ${why.slice(0, LONGEST)}`;
}

/** Returns a sentence as a part of another one. */
function plainMeaning(sentence: string): string {
  return sentence.charAt(0).toLowerCase() + sentence.slice(1).replace(/\.$/, "");
}

/** Returns an oddity as a short note. */
export function oddityText(oddity: Oddity): string {
  switch (oddity.type) {
    case "missing-parent":
      return `parent ${oddity.parentSpanId.slice(0, 8)}… is missing`;
    case "own-parent":
      return "names itself as its parent";
    case "cycle":
      return "its parents form a cycle";
    case "self-link":
      return "links to itself";
    case "early":
      return `begins ${formatDuration(oddity.byUs / 1000)} before its parent`;
  }
}
