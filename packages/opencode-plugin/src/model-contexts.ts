/**
 * Adds the context of its model call to each request to a provider, and to each retry. OpenCode's hook knows the user's
 * message but not the answer that the call is for, so the plugin reads that from OpenCode's events. The runner decides
 * on the span.
 */
import { ModelCallContext, type ModelCallRef } from "@valet/shared/protocol/child-sessions";
import type { RunnerAccess } from "./runner-access.ts";

/** The runner is on loopback. A call that it does not answer in time is sent without a context. */
const TIMEOUT_MS = 1_000;
const MAX_SESSIONS = 1_000;

interface HeadersInput {
  readonly sessionID: string;
  readonly message?: { readonly id?: string };
}

interface EventInput {
  readonly event: { readonly type: string; readonly properties?: unknown };
}

/** The answer that a session's agent works on, and the user's message that it answers. */
interface Step {
  readonly id: string;
  readonly parentID: string;
}

export function modelContexts(access: RunnerAccess) {
  const steps = new Map<string, Step>();
  /** The unobserved function, since this request is not a model call. */
  const ask = globalThis.fetch;
  return {
    event: async ({ event }: EventInput) => {
      if (event.type !== "message.updated") return;
      const { info } = (event.properties ?? {}) as { info?: Step & { role?: string; sessionID?: string } };
      if (info?.role !== "assistant" || info.sessionID === undefined) return;
      steps.delete(info.sessionID);
      steps.set(info.sessionID, { id: info.id, parentID: info.parentID });
      for (const oldest of steps.keys()) if (steps.size > MAX_SESSIONS) steps.delete(oldest);
    },
    headers: async ({ sessionID, message }: HeadersInput, output: { headers: Record<string, string> }) => {
      const step = steps.get(sessionID);
      // A wrong context is worse than none.
      if (step === undefined || step.parentID !== message?.id) return;
      const modelCall: ModelCallRef = { opencodeSessionId: sessionID, messageId: step.id };
      try {
        const response = await ask(access.url, {
          method: "POST",
          headers: { authorization: `Bearer ${access.secret}`, "content-type": "application/json" },
          body: JSON.stringify({ modelCall }),
          signal: AbortSignal.timeout(TIMEOUT_MS),
        });
        Object.assign(output.headers, ModelCallContext.parse(await response.json()));
      } catch {
        // The call is sent without a context.
      }
    },
  };
}
