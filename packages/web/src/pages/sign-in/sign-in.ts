/** What signing in is made of, apart from its page. Pure. */

const TICKET = /^[\w-]{1,100}$/;

/** Returns the ticket of a sign-in link: `#ticket=…`. */
export function ticketOf(fragment: string): string | undefined {
  const ticket = new URLSearchParams(fragment.replace(/^#/, "")).get("ticket");
  return ticket !== null && TICKET.test(ticket) ? ticket : undefined;
}

/**
 * Returns the page to go to after signing in: a path of this site, or else the inbox. A path that begins with two slashes, or with a
 * slash and a backslash, would be another site's.
 */
export function destinationOf(to: string | undefined): string {
  if (to === undefined || !/^\/(?![/\\])/.test(to) || to.startsWith("/sign-in")) return "/";
  const url = URL.parse(to, "http://here.invalid");
  if (url?.origin !== "http://here.invalid") return "/";
  // `/.//host` is a path of this site until its dots are resolved.
  return url.pathname.startsWith("//") ? "/" : url.pathname + url.search + url.hash;
}
