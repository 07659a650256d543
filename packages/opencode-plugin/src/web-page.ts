/** Web pages in place of a model's answer, with status 200: a login, a proxy's page, or a URL that serves no API. */

/** Content types of web pages. */
const PAGE_TYPE = /^\s*(?:text\/html|application\/xhtml\+xml)\b/i;

/**
 * Returns whether an answer without an event is a web page. Its type alone does not say so: some providers and proxies call
 * everything `text/html`, even a stream of events, or JSON.
 * @param begun its first bytes; `undefined` if it has none
 */
export function isWebPage(contentType: string | null, begun: Uint8Array | undefined): boolean {
  const text = new TextDecoder().decode(begun?.subarray(0, 256)).trimStart();
  return text.startsWith("<") || (text === "" && PAGE_TYPE.test(contentType ?? ""));
}

/** Returns a stream that no client of a provider can read: its event is a sentence, not JSON. */
export function unreadableAnswer(): Response {
  const event = "data: The provider answered with a web page.\n\n";
  return new Response(event, { headers: { "content-type": "text/event-stream" } });
}
