/** What a model's answer amounts to. Pure. */
import type { AgentErrorType } from "./errors.ts";

/** One answer of a model, as far as it matters whether the agent can do something with it. */
export interface Answer {
  /** The agent's word for why it ended; `unknown` where the provider gave none, or one that it does not know. */
  readonly finish: string;
  /** Whether there is more in it than blanks. */
  readonly hasText: boolean;
  readonly hasReasoning: boolean;
  readonly hasToolCall: boolean;
}

/** Finish reasons that make an answer useless; others are how an answer ends. */
const BAD_FINISH: ReadonlyMap<string, AgentErrorType> = new Map([
  ["length", "output_limit"],
  ["content-filter", "content_filtered"],
]);
/** With any other the agent asks the model again. */
const FINAL: ReadonlySet<string> = new Set(["stop", "length", "content-filter"]);

/** Whether the model is done with this answer, by the agent's word for why it ended. */
function isFinal(finish: string): boolean {
  return FINAL.has(finish);
}

/** What is wrong with an answer of which only the finish reason is known. */
export function finishProblem(finish: string | undefined): AgentErrorType | undefined {
  return BAD_FINISH.get(finish ?? "");
}

/** What is wrong with an answer. Reasoning alone is none: nobody reads it, and nothing is done. */
export function answerProblem({ finish, hasText, hasToolCall }: Answer): AgentErrorType | undefined {
  return finishProblem(finish) ?? (hasText || hasToolCall ? undefined : "empty_answer");
}

/**
 * Whether the agent asks again after it although it has nothing new to tell the model: no tool was called, and no finish reason
 * says that the answer is one. A login page in place of an answer is such a one.
 */
export function isUseless({ finish, hasToolCall }: Answer): boolean {
  return !hasToolCall && !isFinal(finish);
}
