/** Where a request comes from, as far as its browser says. Pure. */
import { CSRF_HEADER } from "@valet/shared/protocol/page-sessions";

/**
 * Returns whether an `origin` header names the origin at which the request arrived. The host with its port must be the same. The
 * scheme may be `https` where the request arrived by `http`: a proxy in front of the Worker may have ended TLS.
 */
export function isSameOrigin(origin: string | null | undefined, url: URL): boolean {
  if (origin === null || origin === undefined || !URL.canParse(origin)) return false;
  const { protocol, host } = new URL(origin);
  return host === url.host && (protocol === url.protocol || protocol === "https:");
}

/**
 * Returns whether a request that uses the cookie comes from the page itself. Other servers on the same host, such as one that an
 * agent has started on this machine, are the same site to a browser: it sends them the cookie's requests, so `SameSite` is not enough.
 */
export function isFromPage(request: Request): boolean {
  const { method, headers } = request;
  const url = new URL(request.url);
  const origin = headers.get("origin");
  // Every browser sends the origin of the page that opens a WebSocket (RFC 6455, section 4.1), and none sends other headers for it.
  if (headers.get("upgrade")?.toLowerCase() === "websocket") return isSameOrigin(origin, url);
  if (origin !== null && !isSameOrigin(origin, url)) return false;
  const site = headers.get("sec-fetch-site");
  if (method === "GET" || method === "HEAD") return site === null || site === "same-origin" || site === "none";
  return (site === null || site === "same-origin") && headers.get(CSRF_HEADER) !== null;
}
