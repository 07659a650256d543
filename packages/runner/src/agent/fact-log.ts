/** Gathers the facts of a prompt. Pure. */
import type { Heard } from "@valet/shared/heard";
import { type ErrorType, marked, type SpanAttributes } from "@valet/shared/spans";
import { type AgentSpanName, type Ending, type Fact, type FactAttributes, type FactContent, OK } from "./facts.ts";

/** Error types with which a span's open descendants end, too. Any other applies to the span alone. */
const OUTSIDE: ReadonlySet<ErrorType | undefined> = new Set(marked("cuts"));

/** Agents' times are whole milliseconds. A span that begins and ends in the same one gets half a millisecond. */
const WITHIN_ONE_MS = 0.5;

/**
 * Gathers facts and keeps them well-formed: a span begins within its parent, and ends once, after its start and after its
 * children. Its end also ends its open children.
 */
export class FactLog {
  readonly #open = new Map<string, { parentId: string | undefined; startMs: number; latestMs: number }>();
  readonly #begun = new Set<string>();
  readonly #begunBy = new Map<string, number>();
  #facts: Fact[] = [];

  /** Returns the facts gathered since the last call, and removes them. */
  take(): Fact[] {
    const facts = this.#facts;
    this.#facts = [];
    return facts;
  }

  isOpen(spanId: string): boolean {
    return this.#open.has(spanId);
  }

  /** Records that the span began no later than `atMs`, since a descendant did, whatever start is reported later. */
  hasBegunBy(spanId: string, atMs: number): void {
    if (this.#begun.has(spanId)) return;
    this.#begunBy.set(spanId, Math.min(atMs, this.#begunBy.get(spanId) ?? atMs));
  }

  /** Begins a span, unless it has already begun. A start before the parent's is moved to the parent's start. */
  begin<N extends AgentSpanName>(
    name: N,
    spanId: string,
    parentId: string | undefined,
    startMs: number,
    attributes: SpanAttributes<PatternOf<N>>,
  ): void {
    if (this.#begun.has(spanId)) return;
    this.#begun.add(spanId);
    const parent = parentId === undefined ? undefined : this.#open.get(parentId);
    const start = Math.max(Math.min(startMs, this.#begunBy.get(spanId) ?? startMs), parent?.startMs ?? 0);
    this.#begunBy.delete(spanId);
    this.#open.set(spanId, { parentId, startMs: start, latestMs: start });
    this.#facts.push({
      type: "begin",
      spanId,
      parentId,
      name,
      startMs: start,
      attributes: attributes as FactAttributes,
    });
  }

  /** Records progress of what the span waits for. */
  heard(spanId: string, atMs: number, what: Heard = "content"): void {
    if (this.#open.has(spanId)) this.#facts.push({ type: "heard", spanId, atMs, what });
  }

  /** Ends an open span and its open descendants. */
  end(
    spanId: string,
    endMs: number,
    ending: Ending,
    attributes: FactAttributes = {},
    content: FactContent = {},
    failure?: string,
  ): void {
    if (!this.#open.has(spanId)) return;
    const below = OUTSIDE.has(ending.errorType) ? ending : OK;
    for (const child of [...this.#open.keys()].reverse()) {
      if (this.#open.get(child)?.parentId === spanId) this.end(child, endMs, below);
    }
    const span = this.#open.get(spanId);
    if (span === undefined) return;
    const end = Math.max(endMs, span.latestMs, span.startMs + WITHIN_ONE_MS);
    this.#open.delete(spanId);
    const parent = span.parentId === undefined ? undefined : this.#open.get(span.parentId);
    if (parent !== undefined) parent.latestMs = Math.max(parent.latestMs, end);
    const { outcome, errorType } = ending;
    const ended = { type: "end", spanId, endMs: end, outcome, errorType, attributes, content } as const;
    this.#facts.push(failure === undefined ? ended : { ...ended, failure });
  }
}

/** The pattern of a span name, which is its key in the catalogue. */
type PatternOf<N extends AgentSpanName> = N extends `invoke_agent ${string}`
  ? `invoke_agent ${string}`
  : N extends `chat ${string}`
    ? `chat ${string}`
    : N extends `execute_tool ${string}`
      ? `execute_tool ${string}`
      : N;
