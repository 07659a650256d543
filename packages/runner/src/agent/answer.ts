/** Judges whether a model's answer is usable. Pure. */
import type { AgentErrorType } from "./errors.ts";

/** The properties of a model's answer that decide whether it is usable. */
export interface Answer {
  /** The finish reason in the agent's terms; `unknown` if the provider gave none, or one that the agent does not know. */
  readonly finish: string;
  /** Whether it contains text of which a reader sees something: not only white space or zero-width characters. */
  readonly hasText: boolean;
  readonly hasReasoning: boolean;
  readonly hasToolCall: boolean;
}

/** Finish reasons that make an answer unusable. */
const BAD_FINISH: ReadonlyMap<string, AgentErrorType> = new Map([
  ["length", "output_limit"],
  ["content-filter", "content_filtered"],
]);
/** Finish reasons after which the agent does not call the model again. */
const FINAL: ReadonlySet<string> = new Set(["stop", "length", "content-filter"]);

function isFinal(finish: string): boolean {
  return FINAL.has(finish);
}

/** Returns the error that a finish reason alone implies. */
export function finishProblem(finish: string | undefined): AgentErrorType | undefined {
  return BAD_FINISH.get(finish ?? "");
}

/** Returns the error of an answer. Reasoning alone counts as empty, since nobody reads it and it causes no action. */
export function answerProblem({ finish, hasText, hasToolCall }: Answer): AgentErrorType | undefined {
  return finishProblem(finish) ?? (hasText || hasToolCall ? undefined : "empty_answer");
}

/**
 * Returns whether the agent will call the model again without new input: the answer has no tool call, and no finish reason ends
 * it. A login page in place of an answer is an example.
 */
export function isUseless({ finish, hasToolCall }: Answer): boolean {
  return !hasToolCall && !isFinal(finish);
}
