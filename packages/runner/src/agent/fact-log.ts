/** Gathers the facts of a prompt. Pure. */
import { type ErrorType, marked, type SpanAttributes } from "@valet/shared/spans";
import { type AgentSpanName, type Ending, type Fact, type FactAttributes, type FactContent, OK } from "./facts.ts";

/** Why something ends that ends all below it in the same way; any other reason is a span's own. */
const OUTSIDE: ReadonlySet<ErrorType | undefined> = new Set(marked("cuts"));

/** Agents' times are whole milliseconds: what began and ended within one took about half of it. */
const WITHIN_ONE_MS = 0.5;

/**
 * Gathers facts and keeps them well-formed: a span begins within its parent, ends once, after it began and after its
 * children, and its children are ended with it.
 */
export class FactLog {
  readonly #open = new Map<string, { parentId: string | undefined; startMs: number; latestMs: number }>();
  readonly #begun = new Set<string>();
  readonly #begunBy = new Map<string, number>();
  #facts: Fact[] = [];

  /** Takes what was gathered since the last time. */
  take(): Fact[] {
    const facts = this.#facts;
    this.#facts = [];
    return facts;
  }

  isOpen(spanId: string): boolean {
    return this.#open.has(spanId);
  }

  /** Notes that the span has begun by then, whatever is told of its start later: something below it has. */
  hasBegunBy(spanId: string, atMs: number): void {
    if (this.#begun.has(spanId)) return;
    this.#begunBy.set(spanId, Math.min(atMs, this.#begunBy.get(spanId) ?? atMs));
  }

  /** Begins a span, unless it was begun already. Its start is moved to its parent's where it would be before that. */
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

  /** Notes that something came from what the span waits for. */
  heard(spanId: string, atMs: number): void {
    if (this.#open.has(spanId)) this.#facts.push({ type: "heard", spanId, atMs });
  }

  /** Ends an open span and what is still open below it. */
  end(spanId: string, endMs: number, ending: Ending, attributes: FactAttributes = {}, content: FactContent = {}): void {
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
    this.#facts.push({ type: "end", spanId, endMs: end, outcome, errorType, attributes, content });
  }
}

/** The catalogue's key for a name: the pattern that it was made from. */
type PatternOf<N extends AgentSpanName> = N extends `invoke_agent ${string}`
  ? `invoke_agent ${string}`
  : N extends `chat ${string}`
    ? `chat ${string}`
    : N extends `execute_tool ${string}`
      ? `execute_tool ${string}`
      : N;
