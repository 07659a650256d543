/** Writes the spans of a frame as an `ExportTraceServiceRequest`. Pure. */
import type { LoggedSpan } from "./left-spans.ts";

/** @param own the runner's resource, for the spans that have none of their own */
export function encodeFrame(own: string, spans: readonly LoggedSpan[]): string {
  const resources = groupBy(spans, ({ resource }) => resource ?? own);
  const elements = Array.from(resources, ([resource, group]) => {
    const scopes = groupBy(group, ({ scope }) => scope);
    const texts = Array.from(scopes, ([scope, each]) => `{"scope":${scope},"spans":[${each.map(textOf).join(",")}]}`);
    return `{"resource":${resource},"scopeSpans":[${texts.join(",")}]}`;
  });
  return `{"resourceSpans":[${elements.join(",")}]}`;
}

/** Returns the size of a span in the frame, where it is JSON text within JSON text. */
export function bytesOf({ scope, span, resource }: LoggedSpan): number {
  return textBytes(span) + scope.length + (typeof resource === "string" ? textBytes(resource) : 0);
}

export function textBytes(text: string): number {
  return Buffer.byteLength(JSON.stringify(text));
}

function textOf({ span }: LoggedSpan): string {
  return span;
}

function groupBy(spans: readonly LoggedSpan[], keyOf: (span: LoggedSpan) => string): Map<string, LoggedSpan[]> {
  const groups = new Map<string, LoggedSpan[]>();
  for (const span of spans) {
    const key = keyOf(span);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [span]);
    else group.push(span);
  }
  return groups;
}
