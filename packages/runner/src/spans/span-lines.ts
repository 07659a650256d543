/**
 * Reads the span files of runners before version 0.3.0. Such a text file has a first line with the resource, then a line per
 * span with the number of its frame. A line that was cut off when the process died has no line end.
 */
import { readFileSync } from "node:fs";
import { parseOpenSpan } from "@valet/shared/tracing";
import type { LeftSpans, LoggedSpan } from "./left-spans.ts";

const FORMAT = "1";
/** The first field of a line with an open span, in place of the number of a frame. */
const OPEN = "open";

/** @returns `undefined` if there is no file or it cannot be read */
export function readSpanLines(path: string): LeftSpans | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
  const lines = text.split("\n");
  // The text after the last line end is a line that was cut off.
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
