/** The interface of a step of the agent to its run: see `model-step.ts` and `agent-run.ts`. */

import type { Answer } from "../agent/answer.ts";
import type { AgentErrorType } from "../agent/errors.ts";
import type { FactLog } from "../agent/fact-log.ts";
import type { Ending, FactAttributes } from "../agent/facts.ts";
import type { EndedToolCall } from "../agent/loop-guard.ts";
import type { AssistantMessage } from "./events.ts";
import type { KnownProviderCall } from "./provider-calls.ts";

export interface StepContext {
  readonly log: FactLog;
  /** The first part of every derived id. */
  readonly attemptId: string;
  readonly parentId: string;
  /** Returns how interrupted work ends: by an abort, a watchdog or a crash; `undefined` if it was not interrupted. */
  cutShort(): Ending | undefined;
  /** Begins the waits of requests that arrived before their tool began. */
  toolBegan(callKey: string, toolSpanId: string, startMs: number): void;
  /** Returns whether a person rejected the permission for this call. */
  wasDenied(callKey: string): boolean;
  /** Returns the session's last error during this step; its type is `undefined` for an abort. */
  sessionError(): { readonly type: AgentErrorType | undefined; readonly atMs: number } | undefined;
  /** Called when a step is over. @param error with which it failed */
  settled(info: AssistantMessage, error: AgentErrorType | undefined): void;
  callBegan(startMs: number): void;
  /** Returns attributes of a call to this provider that its message does not contain. */
  callAttributes(providerId: string): FactAttributes;
  /** Returns the last request to a provider that was answered since then. */
  providerCall(sinceMs: number): KnownProviderCall | undefined;
  answered(answer: Answer): void;
  toolEnded(call: EndedToolCall): void;
}

/** Returns the key of a tool call within its OpenCode session. */
export const callKey = (messageId: string, callId: string) => `${messageId} ${callId}`;
