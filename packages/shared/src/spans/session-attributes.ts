/** The attributes by which every span names its session. */

/** The keys that hold the session's id: Valet's own and those of the conventions. */
export const SESSION_KEYS = ["valet.session.id", "session.id", "gen_ai.conversation.id"] as const;

export type SessionAttributes = {
  readonly [K in (typeof SESSION_KEYS)[number]]: string;
} & { readonly "valet.generation"?: number };

/** Returns the attributes of a span. @param generation of the sandbox that the span belongs to, from 1; 0 for none */
export function sessionAttributes(sessionId: string, generation = 0): SessionAttributes {
  return {
    "valet.session.id": sessionId,
    "session.id": sessionId,
    "gen_ai.conversation.id": sessionId,
    ...(generation > 0 && { "valet.generation": generation }),
  };
}
