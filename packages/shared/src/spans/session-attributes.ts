/** What every span of a session says: whose it is. */

/** By these a session's spans are found, ours and by the conventions; each holds the session's id. */
export const SESSION_KEYS = ["valet.session.id", "session.id", "gen_ai.conversation.id"] as const;

export type SessionAttributes = {
  readonly [K in (typeof SESSION_KEYS)[number]]: string;
} & { readonly "valet.generation"?: number };

/** @param generation of the sandbox that the span is about, if it is about one; they count from 1 */
export function sessionAttributes(sessionId: string, generation = 0): SessionAttributes {
  return {
    "valet.session.id": sessionId,
    "session.id": sessionId,
    "gen_ai.conversation.id": sessionId,
    ...(generation > 0 && { "valet.generation": generation }),
  };
}
