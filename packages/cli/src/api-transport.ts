/** How the client of the HTTP API reaches it: requests, pages, and errors that say what to do. */
import { ServerClock } from "@valet/shared/http/server-clock";
import type { z } from "zod";
import { ExitCode, UserError } from "./errors.ts";
import { problemText, problemType, type TextOptions } from "./problem-text.ts";
import type { Connection } from "./system/state.ts";

const TIMEOUT_MS = 30_000;

/** The API answered with an error. */
export class ApiError extends UserError {
  readonly status: number;
  readonly #answer: unknown;
  readonly #options: TextOptions;

  /** @param answer the body, as problem+json or anything else */
  constructor(status: number, answer: unknown, options: TextOptions = {}) {
    const type = problemType(status, answer);
    // The API understood the request, and what it is about does not allow it.
    super(problemText(status, answer, options), { type, exitCode: status === 409 ? ExitCode.FAILED : ExitCode.USAGE });
    this.status = status;
    this.#answer = answer;
    this.#options = options;
  }

  /** Returns the same error with other names of its fields. */
  withNames(nameOf: (path: string) => string): ApiError {
    return new ApiError(this.status, this.#answer, { ...this.#options, nameOf });
  }
}

export class ApiTransport {
  readonly #connection: Connection;
  readonly clock = new ServerClock();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  get url(): string {
    return this.#connection.url;
  }

  /** Reads all pages of a list. */
  async pages<P extends { nextCursor?: string | undefined }, T>(
    path: string,
    schema: z.ZodType<P>,
    items: (page: P) => T[],
  ): Promise<T[]> {
    const all: T[] = [];
    let cursor: string | undefined;
    do {
      const sign = path.includes("?") ? "&" : "?";
      const query: string = cursor === undefined ? "" : `${sign}cursor=${encodeURIComponent(cursor)}`;
      const page: P = await this.call("GET", `${path}${query}`, schema);
      all.push(...items(page));
      cursor = page.nextCursor;
    } while (cursor !== undefined);
    return all;
  }

  /** Makes a call. @throws ApiError, or UserError if the answer is none of Valet's */
  async call<T>(method: string, path: string, schema: z.ZodType<T>, body?: unknown): Promise<T> {
    const response = await this.request(method, path, { body });
    if (!response.ok) throw await errorOf(response);
    const parsed = schema.safeParse(parsedJson(await response.text().catch(this.brokenOff)));
    if (!parsed.success) {
      const { url } = this.#connection;
      throw new UserError(`${url}${path} answered with something that is not from Valet. Check the URL.`);
    }
    return parsed.data;
  }

  /** Sends a request. @throws UserError if nothing answers, or if what answers is elsewhere */
  async request(
    method: string,
    path: string,
    { body, accept, timeoutMs = TIMEOUT_MS }: { body?: unknown; accept?: string; timeoutMs?: number },
  ): Promise<Response> {
    const { url, token } = this.#connection;
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        "content-type": "application/json",
        ...(accept === undefined ? {} : { accept }),
      },
      // Another origin would not get the token, and a change would arrive as a read.
      redirect: "manual",
      signal: AbortSignal.timeout(timeoutMs),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    }).catch(this.unanswered);
    const location = response.headers.get("location");
    if (response.status >= 300 && response.status < 400 && location !== null) throw redirected(url, location);
    this.clock.learn(response.headers.get("date"), Date.now());
    return response;
  }

  /** Says that an answer ended before its end. @throws UserError */
  readonly brokenOff = (error: Error): never => {
    if (error.name === "TimeoutError") return this.unanswered(error);
    const { url } = this.#connection;
    throw new UserError(`${url} broke off in the middle of its answer. Is \`valet up\` still running?`, {
      type: "no-answer",
    });
  };

  /** Says why there is no answer. @throws UserError */
  readonly unanswered = (error: Error): never => {
    const { url } = this.#connection;
    throw new UserError(
      error.name === "TimeoutError"
        ? `${url} did not answer in time: it hangs, or its machine is overloaded. Read what \`valet up\` prints.`
        : `${url} does not answer. Is \`valet up\` running? Set VALET_URL, or give --url, to use another Valet.`,
      { type: "no-answer" },
    );
  };
}

function redirected(url: string, location: string): UserError {
  const to = URL.parse(location, url);
  const isElsewhere = to !== null && to.origin !== URL.parse(url)?.origin;
  const target = isElsewhere ? to.origin : (to?.pathname ?? location);
  const advice = isElsewhere
    ? "If that is your Valet, set VALET_URL to it, or give --url."
    : "Something in front of Valet answers, a page to sign in perhaps.";
  return new UserError(`${url} redirects to ${target}, and redirects are not followed. ${advice}`);
}

/** Returns what a text says as JSON; `undefined` if it is none. */
function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Returns the error that an answer stands for. */
export async function errorOf(response: Response): Promise<ApiError> {
  // A date, the other form that the header has (RFC 9110, section 10.2.3), is none of Valet's.
  const [seconds] = /^\d{1,6}$/.exec(response.headers.get("retry-after") ?? "") ?? [];
  const retryAfterS = seconds === undefined ? undefined : Number(seconds);
  return new ApiError(response.status, await response.json().catch(() => undefined), { retryAfterS });
}
