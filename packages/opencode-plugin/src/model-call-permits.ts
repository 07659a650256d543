/**
 * Asks the runner before each request to a provider, and before each retry, whether it may be sent: OpenCode asks the model
 * again before an abort by the runner can arrive. The answer also holds the trace context that the request carries. OpenCode's
 * hook knows the user's message but not the answer that the call is for, so the plugin reads that from OpenCode's events.
 */
import { LIMITS } from "@valet/shared/limits";
import { ModelCallPermit, type ModelCallRef } from "@valet/shared/protocol/child-sessions";
import { OpenAnswers } from "./open-answers.ts";
import type { RunnerAccess } from "./runner-access.ts";

/** How late OpenCode's event about an answer may be. */
const EVENT_DELAY_MS = 1_000;

interface HeadersInput {
  readonly sessionID: string;
  readonly message?: { readonly id?: string };
}

interface EventInput {
  readonly event: { readonly type: string; readonly properties?: unknown };
}

/** A runner that cannot be reached, or does not answer, forbids nothing. */
const UNKNOWN: ModelCallPermit = {};

/**
 * @param timeoutMs how long the runner may take to answer
 * @param delayMs how late OpenCode's event about the call's answer may be
 */
export function modelCallPermits(
  access: RunnerAccess,
  timeoutMs: number = LIMITS.callPermitMs,
  delayMs: number = EVENT_DELAY_MS,
) {
  const answers = new OpenAnswers();
  /** The unobserved function, since this request is not a model call. */
  const ask = globalThis.fetch;
  return {
    event: async ({ event }: EventInput) => {
      if (event.type === "message.updated") answers.updated(event.properties);
    },
    /** Adds the context to the headers. */
    headers: async (
      { sessionID, message }: HeadersInput,
      output: { headers: Record<string, string> },
    ): Promise<ModelCallPermit> => {
      const answer = await answers.find(sessionID, message?.id, delayMs);
      // A wrong context is worse than none.
      if (answer === undefined) return UNKNOWN;
      const { id: messageId, parentID: userMessageId } = answer;
      const modelCall: ModelCallRef = { opencodeSessionId: sessionID, messageId, userMessageId };
      try {
        const response = await ask(access.url, {
          method: "POST",
          headers: { authorization: `Bearer ${access.secret}`, "content-type": "application/json" },
          body: JSON.stringify({ modelCall }),
          signal: AbortSignal.timeout(timeoutMs),
        });
        const permit = ModelCallPermit.parse(await response.json());
        const { isRefused: _, ...context } = permit;
        Object.assign(output.headers, context);
        return permit;
      } catch {
        return UNKNOWN;
      }
    },
  };
}
