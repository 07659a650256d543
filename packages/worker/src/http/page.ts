/**
 * The page: its files come from the binding ASSETS, its headers from here. Each address of the page that is no file gives
 * `index.html`, with a nonce of its own; what the page shows there is the page's decision, after it has asked the API.
 */
import type { AppContext } from "./context.ts";
import { problem, toResponse } from "./problem.ts";

/** Files with a hash in their name: what is at such an address never changes. */
const HASHED = /^\/assets\/[\w./-]+$/;
/** Other files, which lie at the top: an icon, a manifest. */
const FILE = /^\/[\w-]+\.[a-z0-9]+$/;
/** Addresses that are not the page's. */
const NOT_THE_PAGE = /^\/(?:api|runner|assets)(?:\/|$)/;

const NONCE_BYTES = 16;
const MINUTE = "public, max-age=60";
const FOREVER = "public, max-age=31536000, immutable";

/** For the page and its files: no other origin embeds them, and a browser takes them for nothing but what they are. */
const FOR_ALL = {
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
} as const;

/**
 * Returns the policy of the page (CSP Level 3). Scripts and connections are Valet's own. Styles are files of the page, and those that
 * its libraries add with the nonce. Trusted Types forbid the DOM every way to make markup or script of text.
 */
function pagePolicy(nonce: string): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    `style-src 'self' 'nonce-${nonce}'`,
    "connect-src 'self'",
    "img-src 'self' data: blob:",
    "font-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; ");
}

/** Answers what no route answers: with the page, one of its files, or 404. */
export async function servePage(c: AppContext): Promise<Response> {
  const { ASSETS } = c.env;
  const { method, path } = c.req;
  const isFile = HASHED.test(path) || FILE.test(path);
  const isRead = (method === "GET" || method === "HEAD") && c.req.header("upgrade") === undefined;
  if (ASSETS === undefined || !isRead || (!isFile && NOT_THE_PAGE.test(path))) return toResponse(problem("not-found"));
  const url = new URL(isFile ? path : "/index.html", c.req.url);
  const found = await ASSETS.fetch(new Request(url, { method }));
  if (found.status === 503) return notBuilt(found);
  if (!found.ok) return toResponse(problem("not-found"));
  return isFile && path !== "/index.html" ? fileOf(found, HASHED.test(path)) : indexOf(found);
}

function fileOf(found: Response, isHashed: boolean): Response {
  const headers = new Headers({ ...FOR_ALL, "cache-control": isHashed ? FOREVER : MINUTE });
  // A file that a person opens as a page of its own, an image for example, may do nothing.
  headers.set("content-security-policy", "default-src 'none'; frame-ancestors 'none'");
  copy(found, headers, "content-type", "content-length");
  return new Response(found.body, { headers });
}

function indexOf(found: Response): Response {
  const nonce = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(NONCE_BYTES))));
  const headers = {
    ...FOR_ALL,
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "content-security-policy": pagePolicy(nonce),
    "cross-origin-opener-policy": "same-origin",
  };
  return new HTMLRewriter()
    .on('meta[name="csp-nonce"]', { element: (meta) => void meta.remove() })
    .on("head", { element: (head) => void head.prepend(`<meta name="csp-nonce" content="${nonce}">`, { html: true }) })
    .transform(new Response(found.body, { headers }));
}

/** `valet up` answers so, with a sentence, where the page could not be built. */
function notBuilt(found: Response): Response {
  const headers = { ...FOR_ALL, "content-type": "text/plain; charset=utf-8", "cache-control": "no-store" };
  return new Response(found.body, { status: 503, headers });
}

function copy(from: Response, to: Headers, ...names: string[]): void {
  for (const name of names) {
    const value = from.headers.get(name);
    if (value !== null) to.set(name, value);
  }
}
