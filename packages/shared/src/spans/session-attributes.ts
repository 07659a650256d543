/** The attributes by which every span names its session, and those by which spans are grouped across sessions. */

/** The keys that hold the session's id: Valet's own and those of the conventions. */
export const SESSION_KEYS = ["valet.session.id", "session.id", "gen_ai.conversation.id"] as const;

/**
 * The resource attribute of spans that other programs of a sandbox sent to the runner. Answers are made without them: such a program
 * chooses their names.
 */
export const ADOPTED_KEY = "valet.adopted";

export type SessionAttributes = {
  readonly [K in (typeof SESSION_KEYS)[number]]: string;
} & { readonly "valet.generation"?: number };

/** For whom and on what a session works. What is unknown is absent. */
export interface SessionOrigin {
  /** The person, or other principal, on whose behalf the work is done: the token's owner, or whom a caller spoke for. */
  readonly userId?: string | undefined;
  /** The repository's canonical URL, without credentials. */
  readonly repository?: string | undefined;
  /** The requested branch, or else the requested ref. */
  readonly branch?: string | undefined;
  readonly parentSessionId?: string | undefined;
}

/** The keys of {@link originAttributes}. Only the Worker and its objects set them: a sandbox cannot choose them. */
export const ORIGIN_KEYS = [
  "user.id",
  "vcs.repository.url.full",
  "vcs.ref.head.name",
  "valet.parent_session.id",
] as const;
/** The keys that the session's object sets on spans of others. */
export const STAMPED_KEYS = [...ORIGIN_KEYS, "valet.answered_by"] as const;

export type OriginAttributes = { readonly [K in (typeof ORIGIN_KEYS)[number]]?: string };

/** Returns the attributes by which spans are grouped across sessions. */
export function originAttributes({ userId, repository, branch, parentSessionId }: SessionOrigin): OriginAttributes {
  return {
    ...(userId !== undefined && { "user.id": userId }),
    ...(repository !== undefined && { "vcs.repository.url.full": repository }),
    ...(branch !== undefined && { "vcs.ref.head.name": branch }),
    ...(parentSessionId !== undefined && { "valet.parent_session.id": parentSessionId }),
  };
}

/** Returns the attributes of a span. @param generation of the sandbox that the span belongs to, from 1; 0 for none */
export function sessionAttributes(sessionId: string, generation = 0): SessionAttributes {
  return {
    "valet.session.id": sessionId,
    "session.id": sessionId,
    "gen_ai.conversation.id": sessionId,
    ...(generation > 0 && { "valet.generation": generation }),
  };
}
