/** What an agent's work may fail with, in the contract's words. They name OpenCode, the first agent, and stand for any. */
import { type ErrorType, type Marked, marked } from "@valet/shared/spans";
import type { Ending } from "./facts.ts";

export const AGENT_UNHEALTHY = "opencode_unhealthy" satisfies ErrorType;
export const AGENT_DIED = "opencode_died" satisfies ErrorType;
export const AGENT_HUNG = "opencode_hung" satisfies ErrorType;
export const AGENT_FAILED = "opencode_error" satisfies ErrorType;

/** What a model call may fail with on the provider's side. */
export type ProviderError = Marked<"failsOver">;
const PROVIDER_ERRORS: readonly string[] = marked("failsOver");

/** Why a piece of the agent's work failed. */
export type AgentErrorType = ProviderError | "attachment_unreadable" | "empty_answer" | typeof AGENT_FAILED;

/** Whether another model may do better: every failure of this one, but not of the agent. */
export function invitesFailover(type: string | undefined): boolean {
  return type !== undefined && PROVIDER_ERRORS.includes(type);
}

/** Whether the next model of the list may be asked instead. */
export function mayFailOver({ outcome, errorType }: Ending): boolean {
  return outcome === "error" && invitesFailover(errorType);
}
