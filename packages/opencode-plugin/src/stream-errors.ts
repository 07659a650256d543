/**
 * Reads the errors that providers report with status 200: inside a stream, as OpenAI's and Anthropic's APIs do, or, in its place, as
 * a document. Pure.
 */

interface Json {
  readonly [key: string]: unknown;
}

/** The status that goes with an error's words; the first that fits. Sources: the error codes of OpenAI, Anthropic and Google. */
const STATUSES: readonly (readonly [status: number, words: RegExp])[] = [
  [413, /context.?(?:length|window)|string_above_max|too.?(?:large|long)|maximum context/i],
  [429, /quota|rate.?limit|too.?many.?requests|exhausted|throttl/i],
  [402, /billing|payment|insufficient.?(?:credit|balance|fund)/i],
  [529, /overload|capacity|unavailable/i],
  [401, /auth|permission|forbidden|api.?key/i],
  [504, /time.?out|timed.?out|deadline/i],
  [404, /not.?found/i],
  [400, /invalid|bad.?request|unsupported/i],
];

/**
 * Returns the error that an event of a stream reports, with the HTTP status that the same error would have had.
 * @returns `undefined` for any other event
 */
export function streamError(event: Json): { readonly status: number; readonly error: Json } | undefined {
  const error = errorOf(event);
  if (error === undefined) return undefined;
  const { code, type, status, status_code, message } = error;
  const numbers = [code, status, status_code].map(Number).filter(isErrorStatus);
  if (numbers[0] !== undefined) return { status: numbers[0], error };
  // What the API calls the error counts before what it says about it.
  for (const words of [[code, type, status], [message]]) {
    const text = words.filter((word) => typeof word === "string").join(" ");
    const found = STATUSES.find(([, pattern]) => pattern.test(text));
    if (found !== undefined) return { status: found[0], error };
  }
  return { status: 500, error };
}

/** Returns the error of a document in place of a stream. Google's API puts it into a list. */
export function documentError(text: string): ReturnType<typeof streamError> {
  try {
    const parsed: unknown = JSON.parse(text);
    const document = object(Array.isArray(parsed) ? parsed[0] : parsed);
    return document && streamError(document);
  } catch {
    return undefined;
  }
}

/** Chat Completions and Messages have `error`; Responses has the event `error`, and `response.failed` with the error in it. */
function errorOf(event: Json): Json | undefined {
  const inner = event.error ?? (event.type === "response.failed" ? object(event.response)?.error : undefined);
  if (typeof inner === "string" && inner !== "") return { message: inner };
  const error = object(inner);
  if (error !== undefined) return error;
  return event.type === "error" ? { ...event, type: undefined } : undefined;
}

const isErrorStatus = (status: number) => Number.isInteger(status) && status >= 400 && status < 600;

function object(value: unknown): Json | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}
