/** The error types of an agent's work. Their names contain OpenCode, the first agent, but they apply to any agent. */
import type { LimitError } from "@valet/shared/limit-errors";
import { type ErrorType, type Marked, marked } from "@valet/shared/spans";
import type { Ending } from "./facts.ts";

export const AGENT_UNHEALTHY = "opencode_unhealthy" satisfies ErrorType;
export const AGENT_DIED = "opencode_died" satisfies ErrorType;
export const AGENT_HUNG = "opencode_hung" satisfies ErrorType;
export const AGENT_FAILED = "opencode_error" satisfies ErrorType;

/** The agent could not be started. */
export class AgentStartError extends Error {
  override readonly name: string = "AgentStartError";
  readonly errorType: typeof AGENT_UNHEALTHY | typeof AGENT_DIED | "wall_failed" | LimitError;

  constructor(errorType: AgentStartError["errorType"], message: string) {
    super(message);
    this.errorType = errorType;
  }
}

/** Returns why an agent could not be started. */
export function startErrorType(error: unknown): AgentStartError["errorType"] {
  return error instanceof AgentStartError ? error.errorType : AGENT_UNHEALTHY;
}

/** The error types of a model call that the provider caused. */
export type ProviderError = Marked<"failsOver">;
const PROVIDER_ERRORS: readonly string[] = marked("failsOver");

/** The error types of a model call. */
export type AgentErrorType = ProviderError | "attachment_unreadable" | "empty_answer" | typeof AGENT_FAILED;

/** Returns whether another model may succeed: after a failure of the model or its provider, but not of the agent. */
export function invitesFailover(type: string | undefined): boolean {
  return type !== undefined && PROVIDER_ERRORS.includes(type);
}

/** Returns whether the prompt may be repeated with the next model of the preference list. */
export function mayFailOver({ outcome, errorType }: Ending): boolean {
  return outcome === "error" && invitesFailover(errorType);
}
