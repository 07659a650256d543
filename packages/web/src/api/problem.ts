/** Errors of the API as sentences. Pure. */
import { limitText } from "@valet/shared/duration-text";
import type { components } from "./schema.d.ts";

type Problem = components["schemas"]["Problem"];

/** A request that the API refused, or that did not reach it. Its message is a sentence for people. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  /** The HTTP status; `null` if there was no answer. */
  readonly status: number | null;
  /** The name of the problem, for example `session-not-found`; `null` if the answer has none. */
  readonly problem: string | null;
  /** What is wrong with each field of the input, by its path. */
  readonly fields: ReadonlyMap<string, string>;
  /** How long to wait before the next attempt, ms; `undefined` if the answer does not say so. */
  readonly retryAfterMs: number | undefined;

  constructor(
    message: string,
    status: number | null,
    problem: string | null = null,
    fields = new Map<string, string>(),
    retryAfterMs?: number,
  ) {
    super(message);
    this.status = status;
    this.problem = problem;
    this.fields = fields;
    this.retryAfterMs = retryAfterMs;
  }
}

/** A shorter wait is kept without a word, ms: the page tries again by itself. */
const SILENT_MS = 5_000;

const PREFIX = "urn:valet:problem:";

/**
 * Returns the error of an answer.
 * @param body problem+json, or whatever a proxy answered
 * @param retryAfterMs what its `Retry-After` says
 */
export function answerError(status: number, body: unknown, retryAfterMs?: number): ApiError {
  const known = isProblem(body) ? body : undefined;
  const reason = known === undefined ? reasonOf(status) : problemSentence(known);
  const saysWhen = known?.detail?.includes("Try again in") === true;
  const isLong = retryAfterMs !== undefined && retryAfterMs > SILENT_MS;
  const message = isLong && !saysWhen ? `${reason} Try again in ${limitText(retryAfterMs)}.` : reason;
  const name = known?.type.startsWith(PREFIX) === true ? known.type.slice(PREFIX.length) : null;
  return new ApiError(message, status, name, known === undefined ? new Map() : fieldErrors(known), retryAfterMs);
}

/** Returns what a status says by itself. Valet gives a reason with each refusal: one without is a proxy's. */
function reasonOf(status: number): string {
  if (status === 413) {
    return "A proxy in front of Valet refused this as too large (413). Send less, or ask whoever runs the proxy to raise its limit.";
  }
  if (status === 403) return "A proxy in front of Valet refused this (403). Ask whoever runs it.";
  return `The server answered ${status}, without a reason.`;
}

/** Returns the error of a request without an answer. */
export function unreachable(): ApiError {
  return new ApiError("No answer came from the server.", null);
}

/** Returns the error of an answer that is not Valet's. Valet itself has not answered. */
export function notOurs(): ApiError {
  return new ApiError("Something other than Valet answered: a proxy, or a network that asks for a login.", null);
}

/** Returns what a person reads of any error. */
export function errorSentence(error: unknown): string {
  return error instanceof Error && error.message !== "" ? error.message : "Something failed without a reason.";
}

/** Returns whether the caller has to sign in, again or for the first time. */
export function isSignedOut(error: unknown): boolean {
  return error instanceof ApiError && error.status === 401;
}

/** Returns whether trying again may help: the server is away or overloaded. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof ApiError)) return false;
  return error.status === null || error.status === 408 || error.status === 429 || error.status >= 500;
}

/** Returns whether a change may have been made although its request failed: its answer was lost, or the server failed on the way. */
export function mayBeDone(error: unknown): boolean {
  return isPassing(error) && !(error instanceof ApiError && error.status === 429);
}

/** Returns whether the page may try again by itself at once: that may help, and the server has not asked for a longer wait. */
export function mayRetry(error: unknown): boolean {
  return isPassing(error) && waitOf(error) <= SILENT_MS;
}

/** Returns how long the server has asked to wait, ms; 0 if it has not. */
export function waitOf(error: unknown): number {
  return error instanceof ApiError ? (error.retryAfterMs ?? 0) : 0;
}

/** Returns when to read again what is read every so often, ms: later than usual if the server has asked for it. */
export function nextRead(everyMs: number, error: unknown): number {
  return Math.max(everyMs, waitOf(error));
}

function isProblem(body: unknown): body is Problem {
  if (typeof body !== "object" || body === null) return false;
  const { type, title } = body as Partial<Record<keyof Problem, unknown>>;
  return typeof type === "string" && typeof title === "string";
}

/** Returns title and detail as sentences. A detail is a sentence, or continues the title. */
function problemSentence({ title, detail, errors = [] }: Problem): string {
  if (detail === undefined) {
    const first = errors[0];
    return first === undefined || first.path === "" ? `${title}.` : `${title}: ${first.path} ${first.message}.`;
  }
  const end = /[.!?]$/.test(detail) ? "" : ".";
  return `${title}${/^[A-Z]/.test(detail) ? "." : ":"} ${detail}${end}`;
}

function fieldErrors({ errors = [] }: Problem): Map<string, string> {
  const fields = new Map<string, string>();
  // The first error of a field says most.
  for (const { path, message } of errors) if (!fields.has(path)) fields.set(path, message);
  return fields;
}
