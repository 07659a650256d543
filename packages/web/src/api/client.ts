/** The client of the API, typed by its OpenAPI document. */
import { parseRetryAfter } from "@valet/shared/tracing";
import createClient from "openapi-fetch";
import { accessHeaders } from "./access.ts";
import { noteAnswer, noteSilence, noteSlowness } from "./connection.ts";
import { ApiError, answerError, isPassing, notOurs, unreachable } from "./problem.ts";
import type { components, paths } from "./schema.d.ts";
import { learnServerTime } from "./server-clock.ts";

/** The API's schemas by their names: `Schemas["SessionView"]`. */
export type Schemas = components["schemas"];

/** A proxy's answers when the server behind it is away. */
const NO_SERVER = [502, 504];

/** After so long without any answer, ms, the server counts as out of reach. */
const SLOW_MS = 15_000;
/** After so long without its answer, ms, a read is called off, and asked again. */
const HANGING_MS = 60_000;
const TICKETS = "/api/tickets";

/** Sends a request with the caller's rights. @throws ApiError if there is no answer, or one that is not Valet's */
export async function send(request: Request): Promise<Response> {
  for (const [name, value] of Object.entries(accessHeaders())) request.headers.set(name, value);
  const response = await fetchInTime(request).catch((error: unknown) => {
    if (request.signal.aborted) throw error;
    noteSilence();
    throw unreachable();
  });
  if (!isOurs(response)) {
    noteSilence();
    throw notOurs();
  }
  if (NO_SERVER.includes(response.status)) noteSilence();
  else noteAnswer();
  learnServerTime(response.headers.get("date"), Date.now());
  return response;
}

/**
 * Sends a request that is not left to hang: a server that stands still, or a connection that died unnoticed, gives no error for minutes.
 * Only what may be asked again is called off; a change may take its time.
 */
async function fetchInTime(request: Request): Promise<Response> {
  const sentMs = Date.now();
  const slow = setTimeout(() => noteSlowness(sentMs), SLOW_MS);
  const callOff = new AbortController();
  const mayBeCalledOff = request.method === "GET" || new URL(request.url).pathname === TICKETS;
  const hanging = mayBeCalledOff ? setTimeout(() => callOff.abort(), HANGING_MS) : undefined;
  try {
    return await fetch(request, { signal: AbortSignal.any([request.signal, callOff.signal]) });
  } finally {
    clearTimeout(slow);
    clearTimeout(hanging);
  }
}

/**
 * Returns whether an answer may be Valet's, whose content is always JSON. A network that asks for a login, or a proxy, answers with a
 * page of its own, often with 200 or 404. What passes by itself may have any form.
 */
function isOurs({ status, headers }: Response): boolean {
  const type = headers.get("content-type");
  return type === null || /^application\/(?:[\w.-]+\+)?json\b/i.test(type) || isPassing(answerError(status, undefined));
}

export const api = createClient<paths>({ baseUrl: location.origin, credentials: "same-origin", fetch: send });

/** Returns an answer. @throws ApiError if it breaks off before its end */
export async function whole<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    const isCalledOff = error instanceof DOMException && error.name === "AbortError";
    if (isCalledOff || error instanceof ApiError) throw error;
    throw unreachable();
  }
}

/**
 * Returns the body of a successful answer: `await ok(api.GET("/api/sessions"))`.
 * @throws ApiError for any other answer
 */
export async function ok<T>(answer: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await whole(answer);
  if (!response.ok) throw answerError(response.status, error, retryAfterOf(response));
  return data as T;
}

/** Returns what the `Retry-After` of an answer says, ms. */
export function retryAfterOf({ headers }: Response): number | undefined {
  return parseRetryAfter(headers.get("retry-after"), Date.now());
}
