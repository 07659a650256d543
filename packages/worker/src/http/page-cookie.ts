/** The cookie of a page session. */
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import type { AppContext } from "./context.ts";
import { isSameOrigin } from "./page-origin.ts";

/**
 * Over https the name has the prefix `__Host-`: browsers then refuse the cookie from any other host and without `Secure`. Over http
 * (on one's own machine) the name has the port, since all ports of a host share their cookies.
 */
const SECURE_NAME = "__Host-valet";
const plainName = ({ port }: URL) => `valet-${port === "" ? "80" : port}`;

/** Returns the secret of the request's page session, if it has one. */
export function readPageCookie(c: AppContext): string | undefined {
  const url = new URL(c.req.url);
  const secure = getCookie(c, SECURE_NAME);
  return secure ?? (url.protocol === "https:" ? undefined : getCookie(c, plainName(url)));
}

/** @param expiresAt ISO 8601 */
export function writePageCookie(c: AppContext, secret: string, expiresAt: string): void {
  setCookie(c, nameFor(c), secret, { ...attributes(c), expires: new Date(expiresAt) });
}

export function removePageCookie(c: AppContext): void {
  deleteCookie(c, nameFor(c), attributes(c));
}

function attributes(c: AppContext) {
  return { path: "/", httpOnly: true, sameSite: "Strict", secure: isSecure(c) } as const;
}

function nameFor(c: AppContext): string {
  return isSecure(c) ? SECURE_NAME : plainName(new URL(c.req.url));
}

/** Whether the browser speaks https, with the Worker or with a proxy in front of it. */
function isSecure(c: AppContext): boolean {
  const url = new URL(c.req.url);
  const origin = c.req.header("origin");
  return url.protocol === "https:" || (isSameOrigin(origin, url) && origin?.startsWith("https:") === true);
}
