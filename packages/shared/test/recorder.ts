import { type Diagnostic, type ReadableSpan, Tracer, type TracerOptions } from "../src/tracing/index.ts";

/** A tracer, and what its processor and its owner have been told, in order. */
export function createRecorder(options: Partial<TracerOptions> = {}) {
  const started: ReadableSpan[] = [];
  const ended: ReadableSpan[] = [];
  const diagnostics: Diagnostic[] = [];
  const tracer = new Tracer({
    scope: { name: "test" },
    processor: { onStart: (span) => started.push(span), onEnd: (span) => ended.push(span) },
    onDiagnostic: (diagnostic) => diagnostics.push(diagnostic),
    ...options,
  });
  return { tracer, started, ended, diagnostics };
}

/** The one element of a list. */
export function only<T>(list: readonly T[]): T {
  const [first] = list;
  if (first === undefined || list.length !== 1) throw new Error(`expected one element, got ${list.length}`);
  return first;
}

/** Hands over what its type forbids, as callers without types do. */
export function untyped<T>(value: unknown): T {
  return value as T;
}
