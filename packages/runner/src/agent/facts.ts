/** What an agent tells about its work: plain data, which `span-emitter.ts` makes spans of and tests compare. */
import type { ErrorType, Outcome } from "@valet/shared/spans";
import type { AttributeValue } from "@valet/shared/tracing";

/** The spans inside a turn that come from the agent's events. */
export type AgentSpanName =
  | `invoke_agent ${string}`
  | `chat ${string}`
  | `execute_tool ${string}`
  | "valet.agent.prepare"
  | "valet.agent.unresponsive"
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
