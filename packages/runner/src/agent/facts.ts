/** What the reducer finds out about spans: plain data, which `emit.ts` makes spans of and tests compare. */
import { type ErrorType, marked, type Outcome, type SpanAttributes } from "@valet/shared/spans";
import type { AttributeValue } from "@valet/shared/tracing";

/** The spans inside a turn that come from the agent's events. */
export type AgentSpanName =
  | `invoke_agent ${string}`
  | `chat ${string}`
  | `execute_tool ${string}`
  | "valet.agent.prepare"
  | "valet.llm.try"
  | "valet.retry.wait"
  | "valet.permission.wait"
  | "valet.question.wait"
  | "valet.compaction";

/** Attributes of any of them; each was checked against its own span's catalogue entry where it was made. */
export type FactAttributes = { readonly [key: string]: AttributeValue | undefined };

/** What people, models or files said: becomes attributes only where content is captured. */
export interface FactContent {
  readonly "gen_ai.tool.call.arguments"?: unknown;
  readonly "gen_ai.tool.call.result"?: string | undefined;
  readonly "gen_ai.output.messages"?: readonly OutputPart[];
}

/** One part of a model's answer, as the conventions' schema of messages has it. */
export type OutputPart =
  | { readonly type: "text" | "reasoning"; readonly content: string }
  | { readonly type: "tool_call"; readonly id: string; readonly name: string; readonly arguments: unknown };

export interface BeginFact {
  readonly type: "begin";
  readonly spanId: string;
  /** A span of an earlier fact; without one, the span that the turn's owner gave. */
  readonly parentId: string | undefined;
  readonly name: AgentSpanName;
  readonly startMs: number;
  readonly attributes: FactAttributes;
}

export interface EndFact {
  readonly type: "end";
  readonly spanId: string;
  readonly endMs: number;
  readonly outcome: Outcome;
  readonly errorType: ErrorType | undefined;
  readonly attributes: FactAttributes;
  readonly content: FactContent;
}

/** Something came from what an open span waits for: a piece of the model's answer, output of the tool. */
export interface HeardFact {
  readonly type: "heard";
  readonly spanId: string;
  readonly atMs: number;
}

export type Fact = BeginFact | EndFact | HeardFact;

/** How something ended. */
export interface Ending {
  readonly outcome: Extract<Outcome, "ok" | "error" | "aborted" | "superseded">;
  /** Absent where the outcome is `ok`. */
  readonly errorType?: ErrorType;
  /** Where every model failed: why the last one did, and which that was, as `provider/model`. */
  readonly cause?: ErrorType;
  readonly causeOf?: string;
}

export const OK: Ending = { outcome: "ok" };

/** Why something ends that ends all below it in the same way; any other reason is a span's own. */
const OUTSIDE: ReadonlySet<ErrorType | undefined> = new Set(marked("cuts"));

/** OpenCode's times are whole milliseconds: what began and ended within one took about half of it. */
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
