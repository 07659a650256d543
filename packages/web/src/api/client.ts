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

/** Status codes of a captive portal, or of a proxy that has no such route. */
const NOT_FROM_VALET = [401, 404];

/** After so long without any answer, ms, the server counts as out of reach. */
const SLOW_MS = 15_000;
/** After so long without a part of its answer, ms, a read is aborted, and sent again. */
const HANGING_MS = 60_000;
const TICKETS = "/api/tickets";

/**
 * Sends a request with the caller's rights, and reads its whole answer.
 * @throws ApiError if no answer comes, or if something other than Valet answers
 */
export async function send(request: Request): Promise<Response> {
  for (const [name, value] of Object.entries(accessHeaders())) request.headers.set(name, value);
  const isRead = isRetryable(request);
  const patience = new Patience(isRead);
  try {
    const response = await fetch(request, { signal: AbortSignal.any([request.signal, patience.signal]) });
    if (!isOurs(response) && (isRead || !isRefusal(response))) throw notOurs();
    const note = NO_SERVER.includes(response.status) ? noteSilence : noteAnswer;
    note();
    learnServerTime(response.headers.get("date"), Date.now());
    return await withBody(response, patience, note);
  } catch (error) {
    if (request.signal.aborted) throw error;
    noteSilence();
    throw error instanceof ApiError ? error : unreachable();
  } finally {
    patience.end();
  }
}

/** Whether a request may be sent again without doing anything twice. A change may not, and may take its time. */
function isRetryable({ method, url }: Request): boolean {
  return method === "GET" || new URL(url).pathname === TICKETS;
}

/** Returns an answer whose body has been read: it may hang, too. @param note is called for each part of it */
async function withBody(response: Response, patience: Patience, note: () => void): Promise<Response> {
  if (response.body === null) return response;
  patience.begin();
  const watched = response.body.pipeThrough(
    new TransformStream<BufferSource, BufferSource>({
      transform: (part, body) => {
        note();
        patience.begin();
        body.enqueue(part);
      },
    }),
  );
  const body = await new Response(watched as BodyInit).arrayBuffer();
  // Browsers give an answer 204 an empty body, which no new one may have.
  return new Response(body.byteLength === 0 ? null : body, response);
}

/**
 * The timeouts of a request, which restart with each part of its answer. A server that hangs, or a connection that was lost without a
 * close, causes no error for minutes.
 */
class Patience {
  readonly #mayAbort: boolean;
  readonly #abort = new AbortController();
  #slow: ReturnType<typeof setTimeout> | undefined;
  #hanging: ReturnType<typeof setTimeout> | undefined;
  /** Aborts a request that hangs. */
  readonly signal = this.#abort.signal;

  constructor(mayAbort: boolean) {
    this.#mayAbort = mayAbort;
    this.begin();
  }

  /** Restarts the timeouts. */
  begin(): void {
    this.end();
    const sinceMs = Date.now();
    this.#slow = setTimeout(() => noteSlowness(sinceMs), SLOW_MS);
    if (this.#mayAbort) this.#hanging = setTimeout(() => this.#abort.abort(), HANGING_MS);
  }

  end(): void {
    clearTimeout(this.#slow);
    clearTimeout(this.#hanging);
  }
}

/**
 * Returns whether an answer may be Valet's, whose content is always JSON. A network that asks for a login, or a proxy, answers with a
 * page of its own, often with 200 or 404. A proxy's page about a server that is away or overloaded says as much as Valet's own answer.
 */
function isOurs({ status, headers }: Response): boolean {
  const type = headers.get("content-type");
  return type === null || /^application\/(?:[\w.-]+\+)?json\b/i.test(type) || isPassing(answerError(status, undefined));
}

/** Returns whether a change was refused, be it by a proxy, which may have limits of its own: 413 for what is too large, 403. */
function isRefusal({ status }: Response): boolean {
  return status >= 400 && status < 500 && !NOT_FROM_VALET.includes(status);
}

export const api = createClient<paths>({ baseUrl: location.origin, credentials: "same-origin", fetch: send });

/** Returns an answer. @throws ApiError if it breaks off before its end */
export async function whole<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    const isAborted = error instanceof DOMException && error.name === "AbortError";
    if (isAborted || error instanceof ApiError) throw error;
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
