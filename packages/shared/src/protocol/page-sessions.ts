/** How a browser signs in to the session explorer: a one-time ticket becomes a cookie. */
import { z } from "zod";

/**
 * The header that each request must have which uses the cookie and may change something, with any value. A page of another origin
 * cannot send it: the browser would ask first, and the Worker allows no other origin anything.
 */
export const CSRF_HEADER = "x-valet-csrf";

/** How long the ticket of a sign-in link is valid, ms. */
export const PAGE_TICKET_LIFETIME_MS = 10 * 60_000;
/** How long a browser stays signed in, ms; it ends earlier with the token behind it. */
export const PAGE_SESSION_LIFETIME_MS = 14 * 24 * 60 * 60_000;
/** The most open tickets and page sessions of an owner. One more ends the one that would expire first. */
export const MAX_PAGE_TICKETS = 20;
export const MAX_PAGE_SESSIONS = 50;

/** The page's address for a ticket. A fragment reaches no server and no log. */
export function signInUrl(origin: string, ticket: string): string {
  return `${origin}/sign-in#ticket=${ticket}`;
}

export const PageTicket = z.object({
  ticket: z.string().describe("Opens one page session, once. For the fragment of a link: `/sign-in#ticket=…`"),
  expiresAt: z.iso.datetime(),
});
export type PageTicket = z.infer<typeof PageTicket>;

export const CreatePageSession = z.strictObject({ ticket: z.string().regex(/^[\w-]{1,100}$/, "not a ticket") });
export type CreatePageSession = z.infer<typeof CreatePageSession>;

export const PageSession = z.object({
  expiresAt: z.iso.datetime().describe("When the browser has to sign in again, at the latest"),
});
export type PageSession = z.infer<typeof PageSession>;
