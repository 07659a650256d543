/**
 * Asks the runner before each request to a provider, and before each retry, whether it may be sent: OpenCode asks the model
 * again before an abort by the runner can arrive. The answer also holds the trace context that the request carries. OpenCode's
 * hook knows the user's message but not the answer that the call is for, so the plugin reads that from OpenCode's events.
 *
 * OpenCode announces an answer some 40 ms before it has prepared the request. The plugin asks for the permit then, so that the
 * request does not wait for it. A permit that was requested ahead is valid if the runner has not decided to refuse calls since;
 * otherwise the plugin asks again.
 */

import { LIMITS } from "@valet/shared/limits";
import { ModelCallPermit, type ModelCallRef, WARM_UP_MARK } from "@valet/shared/protocol/child-sessions";
import type { AnnouncedAnswer, OpenAnswers } from "./open-answers.ts";
import type { RefusalCount } from "./refusals.ts";
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

/** A model call, if it is known which, and the runner's decision on it. */
interface KnownCall {
  readonly permit: ModelCallPermit;
  readonly call?: ModelCallRef;
}

/** A permit that was requested before OpenCode needs it. */
interface EarlyPermit {
  readonly permit: Promise<ModelCallPermit>;
  /** The count of refusals before the request. */
  readonly refusals: number;
}

const MAX_EARLY = 100;

/**
 * @param answers what OpenCode's sessions work on; it is told here
 * @param refusals without a count, no permit is requested ahead
 * @param timeoutMs how long the runner may take to answer
 * @param delayMs how late OpenCode's event about the call's answer may be
 */
export function modelCallPermits(
  access: RunnerAccess,
  answers: OpenAnswers,
  refusals: RefusalCount,
  timeoutMs: number = LIMITS.callPermitMs,
  delayMs: number = EVENT_DELAY_MS,
) {
  /** The unobserved function, since this request is not a model call. */
  const ask = globalThis.fetch;
  /** The early permits, by the answer's id. */
  const early = new Map<string, EarlyPermit>();

  /** Never rejects. */
  const request = async ({ sessionID, id: messageId, parentID }: AnnouncedAnswer): Promise<ModelCallPermit> => {
    const modelCall: ModelCallRef = { opencodeSessionId: sessionID, messageId, userMessageId: parentID };
    try {
      const response = await ask(access.url, {
        method: "POST",
        headers: { authorization: `Bearer ${access.secret}`, "content-type": "application/json" },
        body: JSON.stringify({ modelCall }),
        signal: AbortSignal.timeout(timeoutMs),
      });
      return ModelCallPermit.parse(await response.json());
    } catch {
      return UNKNOWN;
    }
  };

  const requestEarly = (answer: AnnouncedAnswer): void => {
    const count = refusals();
    if (count === undefined || answer.parentID.endsWith(WARM_UP_MARK)) return;
    early.set(answer.id, { permit: request(answer), refusals: count });
    for (const oldest of early.keys()) if (early.size > MAX_EARLY) early.delete(oldest);
  };

  /** Returns the early permit of an answer, once and as long as it is valid. */
  const takeEarly = async (id: string): Promise<ModelCallPermit | undefined> => {
    const found = early.get(id);
    early.delete(id);
    const permit = await found?.permit;
    return found?.refusals === refusals() ? permit : undefined;
  };

  return {
    event: async ({ event }: EventInput) => {
      if (event.type !== "message.updated") return;
      const announced = answers.updated(event.properties);
      if (announced !== undefined) requestEarly(announced);
    },
    /** Adds the `traceparent` to the headers. Whether the `tracestate` may follow depends on the request's host. */
    headers: async (
      { sessionID, message }: HeadersInput,
      output: { headers: Record<string, string> },
    ): Promise<KnownCall> => {
      const answer = await answers.find(sessionID, message?.id, delayMs);
      // A wrong context is worse than none.
      if (answer === undefined) return { permit: UNKNOWN };
      const permit = (await takeEarly(answer.id)) ?? (await request({ ...answer, sessionID }));
      if (permit.traceparent !== undefined) output.headers.traceparent = permit.traceparent;
      return { permit, call: { opencodeSessionId: sessionID, messageId: answer.id, userMessageId: answer.parentID } };
    },
  };
}
