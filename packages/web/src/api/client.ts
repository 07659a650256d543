/** The client of the API, typed by its OpenAPI document. */
import { parseRetryAfter } from "@valet/shared/tracing";
import createClient from "openapi-fetch";
import { accessHeaders } from "./access.ts";
import { noteAnswer, noteSilence } from "./connection.ts";
import { answerError, unreachable } from "./problem.ts";
import type { components, paths } from "./schema.d.ts";
import { learnServerTime } from "./server-clock.ts";

/** The API's schemas by their names: `Schemas["SessionView"]`. */
export type Schemas = components["schemas"];

/** A proxy's answers when the server behind it is away. */
const NO_SERVER = [502, 504];

/** Sends a request. @throws ApiError if there is no answer */
async function send(request: Request): Promise<Response> {
  for (const [name, value] of Object.entries(accessHeaders())) request.headers.set(name, value);
  try {
    const response = await fetch(request);
    if (NO_SERVER.includes(response.status)) noteSilence();
    else noteAnswer();
    learnServerTime(response.headers.get("date"), Date.now());
    return response;
  } catch (error) {
    if (request.signal.aborted) throw error;
    noteSilence();
    throw unreachable();
  }
}

export const api = createClient<paths>({ baseUrl: location.origin, credentials: "same-origin", fetch: send });

/**
 * Returns the body of a successful answer: `await ok(api.GET("/api/sessions"))`.
 * @throws ApiError for any other answer
 */
export async function ok<T>(answer: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await answer;
  if (!response.ok) throw answerError(response.status, error, retryAfterOf(response));
  return data as T;
}

/** Returns what the `Retry-After` of an answer says, ms. */
export function retryAfterOf({ headers }: Response): number | undefined {
  return parseRetryAfter(headers.get("retry-after"), Date.now());
}
