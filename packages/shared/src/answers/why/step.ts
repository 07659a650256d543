/** How a span becomes one level of what time was spent on. Pure. */
import type { PartName } from "../../protocol/why.ts";
import type { WhySpan } from "./spans.ts";

/** One level of what an instant was spent on. */
export interface Step {
  readonly name: PartName;
  readonly detail: string | null;
  readonly cause: string | null;
  /** The span that says so. */
  readonly span: WhySpan | null;
}

/** Names come from sandboxes and may have any length. */
const MAX_LENGTH = 100;

/** @param cause by default why the span did not end with `ok` */
export function stepOf(
  name: PartName,
  span: WhySpan | null,
  detail: string | null = null,
  cause: string | null = span === null ? null : reasonOf(span),
): Step {
  return { name, detail, cause, span };
}

/** Returns an attribute that is a text. */
export function textOf(span: WhySpan, key: string): string | null {
  const value = span.attributes[key];
  return typeof value === "string" && value !== "" ? value.slice(0, MAX_LENGTH) : null;
}

/** Returns an attribute that is a finite number. */
export function numberOf(span: WhySpan, key: string): number | null {
  const value = span.attributes[key];
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/** Returns why a span did not end with `ok`. */
export function reasonOf(span: WhySpan): string | null {
  return textOf(span, "error.type") ?? textOf(span, "valet.outcome.reason");
}

/** Returns what is after a prefix of a span's name; `null` if the name does not begin with it. */
export function nameAfter(prefix: string, { name }: WhySpan): string | null {
  return name.startsWith(prefix) ? name.slice(prefix.length, prefix.length + MAX_LENGTH) : null;
}
