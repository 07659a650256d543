/**
 * Sends a model call with its `tracestate`, which holds what others have written, to listed hosts only: also where a listed host
 * redirects to another one.
 */
import type { ModelCallPermit } from "@valet/shared/protocol/child-sessions";
import { isListed } from "@valet/shared/protocol/provider-context";

interface Call {
  readonly input: Parameters<typeof fetch>[0];
  readonly init: Parameters<typeof fetch>[1];
  /** Those to send. */
  readonly headers: Headers;
}

const STATE = "tracestate";
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/**
 * Sends the call. `fetch` would carry the header along to wherever a redirect leads. So a redirected call is sent anew without it,
 * and then follows as any other.
 */
export async function fetchWithState(
  send: typeof fetch,
  { input, init, headers }: Call,
  { tracestate, tracestateHosts = [] }: ModelCallPermit = {},
): Promise<Response> {
  const plain = () => send(input, { ...init, headers });
  const url = input instanceof Request ? input.url : String(input);
  // It means nothing without its traceparent.
  if (tracestate === undefined || !headers.has("traceparent") || !isListed(url, tracestateHosts)) return plain();
  // A body that is a stream cannot be sent again.
  if (input instanceof Request || init?.body instanceof ReadableStream) return plain();
  const withState = new Headers(headers);
  withState.set(STATE, tracestate);
  const { redirect = "follow" } = init ?? {};
  const first = await send(input, {
    ...init,
    headers: withState,
    redirect: redirect === "follow" ? "manual" : redirect,
  });
  if (redirect !== "follow" || !REDIRECTS.has(first.status)) return first;
  await first.body?.cancel();
  return plain();
}
