/**
 * Reads the spans that runners before version 0.3.0 left, a text file for each: a first line with its resource, then a line a
 * span with the number of its frame. A line that was being written when the process died is recognised by its missing end.
 */
import { readFileSync } from "node:fs";
import { parseOpenSpan } from "@valet/shared/tracing";
import type { LeftSpans, LoggedSpan } from "./left-spans.ts";

const FORMAT = "1";
/** Stands where another line has the number of its frame. */
const OPEN = "open";

/** @returns `undefined` where there is nothing to read */
export function readSpanLines(path: string): LeftSpans | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
  const lines = text.split("\n");
  // What follows the last line end was being written.
  const torn = lines.pop() === "" ? 0 : 1;
  const [format, resource = ""] = (lines.shift() ?? "").split("\t");
  if (format !== FORMAT || !isJson(resource)) {
    return { resource: "{}", frames: [], open: [], brokenSpans: lines.length + torn };
  }
  const frames = new Map<number, LoggedSpan[]>();
  const open = new Map<string, string>();
  let brokenLines = torn;
  for (const line of lines) {
    const [number = "", scope = "", span = ""] = line.split("\t");
    if (number === OPEN) {
      const spanId = openSpanId(scope);
      if (spanId === undefined) brokenLines++;
      else open.set(spanId, scope);
      continue;
    }
    if (!/^[1-9]\d{0,14}$/.test(number) || !isJson(scope) || !isJson(span)) {
      brokenLines++;
      continue;
    }
    open.delete((JSON.parse(span) as { spanId?: string } | null)?.spanId ?? "");
    const seq = Number(number);
    const spans = frames.get(seq);
    if (spans === undefined) frames.set(seq, [{ scope, span }]);
    else spans.push({ scope, span });
  }
  return {
    resource,
    frames: [...frames].sort(([a], [b]) => a - b).map(([seq, spans]) => ({ seq, spans })),
    open: [...open.values()],
    brokenSpans: brokenLines,
  };
}

function openSpanId(text: string): string | undefined {
  return parseOpenSpan(text)?.context.spanId;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
