/**
 * Asks the runner before each request to a provider, and before each retry, whether it may be sent: OpenCode asks the model
 * again before an abort by the runner can arrive. The answer also holds the trace context that the request carries. OpenCode's
 * hook knows the user's message but not the answer that the call is for, so the plugin reads that from OpenCode's events.
 *
 * OpenCode announces an answer some 40 ms before it has prepared the request. The plugin asks for the permit then, so that the
 * request does not wait for it. A permit that was requested ahead is valid if the runner has not decided to refuse calls since;
 * otherwise the plugin asks again.
 *
 * A request waits 250 ms for its permit, and then leaves without a context, as if there were no runner. Only where the runner has
 * begun to refuse calls since it last answered for the session, which the plugin reads without asking it, the request waits
 * longer: what a person has aborted must not be paid for.
 */

import { LIMITS } from "@valet/shared/limits";
import { ModelCallPermit, type ModelCallRef, WARM_UP_MARK } from "@valet/shared/protocol/child-sessions";
import type { AnnouncedAnswer, OpenAnswers } from "./open-answers.ts";
import type { RefusalCount } from "./refusals.ts";
import type { RunnerAccess } from "./runner-access.ts";
import { within } from "./within.ts";

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

interface PermitLimits {
  /** How long OpenCode waits: for its own event about the call's answer, and for the permit. */
  readonly hookMs: number;
  /** How long the runner may take to answer. OpenCode waits that long in all if the runner has begun to refuse calls. */
  readonly permitMs: number;
}

/** A permit that was requested before OpenCode needs it. */
interface EarlyPermit {
  readonly permit: Promise<ModelCallPermit>;
  /** The count of refusals before the request. */
  readonly refusals: number;
}

const MAX_EARLY = 100;
const MAX_SESSIONS = 1_000;

/**
 * @param answers what OpenCode's sessions work on; it is told here
 * @param refusals without a count, no permit is requested ahead
 */
export function modelCallPermits(
  access: RunnerAccess,
  answers: OpenAnswers,
  refusals: RefusalCount,
  { hookMs, permitMs }: PermitLimits = { hookMs: LIMITS.hookMs, permitMs: LIMITS.callPermitMs },
) {
  /** The unobserved function, since this request is not a model call. */
  const ask = globalThis.fetch;
  /** The early permits, by the answer's id. */
  const early = new Map<string, EarlyPermit>();
  /** The count of refusals when OpenCode started; and, by session, when the runner was last asked for a permit that it answered. */
  const atStart = refusals();
  const atAnswer = new Map<string, number | undefined>();

  /** Never rejects. */
  const request = async ({ sessionID, id: messageId, parentID }: AnnouncedAnswer): Promise<ModelCallPermit> => {
    const modelCall: ModelCallRef = { opencodeSessionId: sessionID, messageId, userMessageId: parentID };
    const count = refusals();
    try {
      const response = await ask(access.url, {
        method: "POST",
        headers: { authorization: `Bearer ${access.secret}`, "content-type": "application/json" },
        body: JSON.stringify({ modelCall }),
        signal: AbortSignal.timeout(permitMs),
      });
      const permit = ModelCallPermit.parse(await response.json());
      atAnswer.set(sessionID, count);
      for (const oldest of atAnswer.keys()) if (atAnswer.size > MAX_SESSIONS) atAnswer.delete(oldest);
      return permit;
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
    const isValid = () => found?.refusals === refusals();
    const permit = isValid() ? await found?.permit : undefined;
    return isValid() ? permit : undefined;
  };

  /** Whether the runner may have something to say against a call of the session that it did not say before. */
  const mayRefuse = (sessionID: string): boolean =>
    refusals() !== (atAnswer.has(sessionID) ? atAnswer.get(sessionID) : atStart);

  const permitFor = async (answer: AnnouncedAnswer): Promise<ModelCallPermit> =>
    (await takeEarly(answer.id)) ?? request(answer);

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
      const startMs = performance.now();
      const passedMs = () => performance.now() - startMs;
      const answer = await answers.find(sessionID, message?.id, hookMs);
      // A wrong context is worse than none.
      if (answer === undefined) return { permit: UNKNOWN };
      const asked = permitFor({ ...answer, sessionID });
      const inTime = await within(hookMs - passedMs(), asked);
      // Together with the time for a permit that was requested ahead, and that has become invalid meanwhile.
      const late =
        inTime === undefined && mayRefuse(sessionID) ? await within(permitMs - passedMs(), asked) : undefined;
      const permit = inTime ?? late ?? UNKNOWN;
      if (permit.traceparent !== undefined) output.headers.traceparent = permit.traceparent;
      return { permit, call: { opencodeSessionId: sessionID, messageId: answer.id, userMessageId: answer.parentID } };
    },
  };
}
