/** Facts: an agent's reports about its work, as plain data. `span-emitter.ts` turns them into spans; tests compare them. */
import type { Heard } from "@valet/shared/heard";
import type { ErrorType, Outcome } from "@valet/shared/spans";
import type { AttributeValue } from "@valet/shared/tracing";

/** The spans in a turn that are made from the agent's events. */
export type AgentSpanName =
  | `invoke_agent ${string}`
  | `chat ${string}`
  | `execute_tool ${string}`
  | "valet.agent.prepare"
  | "valet.agent.mcp_wait"
  | "valet.agent.unresponsive"
  | "valet.llm.try"
  | "valet.retry.wait"
  | "valet.permission.wait"
  | "valet.question.wait"
  | "valet.compaction";

/** Attributes of any of these spans. The compiler checks each against the span's catalogue entry where the fact is made. */
export type FactAttributes = { readonly [key: string]: AttributeValue | undefined };

/** Content of people, models or files. It becomes attributes only if content capture is on. */
export interface FactContent {
  readonly "gen_ai.tool.call.arguments"?: unknown;
  readonly "gen_ai.tool.call.result"?: string | undefined;
  readonly "gen_ai.output.messages"?: readonly OutputPart[];
  readonly "gen_ai.input.messages"?: unknown;
  readonly "gen_ai.system_instructions"?: unknown;
  readonly "error.message"?: string | undefined;
}

/** One part of a model's answer, after the conventions' schema of messages. */
export type OutputPart =
  | { readonly type: "text" | "reasoning"; readonly content: string }
  | { readonly type: "tool_call"; readonly id: string; readonly name: string; readonly arguments: unknown };

export interface BeginFact {
  readonly type: "begin";
  readonly spanId: string;
  /** A span of an earlier fact; `undefined` for the parent of the prompt's spans. */
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
  /** What a failed tool call said. Stays in the runner. */
  readonly failure?: string;
}

/** Progress of what an open span waits for. */
export interface HeardFact {
  readonly type: "heard";
  readonly spanId: string;
  readonly atMs: number;
  readonly what: Heard;
}

export type Fact = BeginFact | EndFact | HeardFact;

/** How a span or a job ended. */
export interface Ending {
  readonly outcome: Extract<Outcome, "ok" | "error" | "aborted" | "superseded">;
  /** Absent if the outcome is `ok`. */
  readonly errorType?: ErrorType;
  /** If every model failed: why the last one did, and its name as `provider/model`. */
  readonly cause?: ErrorType;
  readonly causeOf?: string;
}

export const OK: Ending = { outcome: "ok" };
