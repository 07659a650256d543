/** What a backend's answer says of a batch (OTLP, "OTLP/HTTP Response"). */
import { isHeldStatus, isRetryableStatus, parseRetryAfter } from "./retry.ts";

/** OTLP, "OTLP/HTTP Response": clients need not read more. */
const MAX_RESPONSE_BYTES = 4 * 1024 * 1024;

/** What came of one attempt. */
export type SendResult =
  /** The backend has the batch. `message` is its warning, or what was wrong with its answer; empty if nothing. */
  | {
      readonly outcome: "delivered";
      readonly rejectedSpans: number;
      readonly message: string;
      /** The answer was text that no OTLP backend gives: worth one warning for each endpoint. */
      readonly isUnexpected?: true;
    }
  /** Try again, after `retryAfterMs` if the backend named a time. */
  | {
      readonly outcome: "retry";
      readonly reason: string;
      readonly status?: number;
      readonly retryAfterMs?: number | undefined;
    }
  /**
   * What answered has not taken the batch and is not about to: a page to log in on, a wrong token, a wrong path. A person has to
   * change something, and then the batch is good: whoever can should keep it, and try seldom.
   */
  | { readonly outcome: "held"; readonly reason: string; readonly status: number }
  /** The backend will never take this batch. */
  | { readonly outcome: "refused"; readonly reason: string; readonly status?: number };

/** An answer of 2xx, as far as it has been read. */
export interface Answer {
  readonly status: number;
  readonly contentType: string;
  text: string;
}

/** What an answer other than 2xx means. Its body is not read. */
export function judgeRefusal({ status, headers, body }: Response): SendResult {
  // An unread body would hold the connection.
  body?.cancel().catch(() => {});
  const reason = `HTTP ${status}`;
  // A browser says of a redirect that is not to be followed only this.
  if (status === 0) return { outcome: "held", reason: "redirect", status };
  if (isHeldStatus(status)) return { outcome: "held", reason, status };
  if (!isRetryableStatus(status)) return { outcome: "refused", reason, status };
  return { outcome: "retry", reason, status, retryAfterMs: parseRetryAfter(headers.get("retry-after"), Date.now()) };
}

/** Reads the body of a 2xx into `answer`, as far as it has to be seen. @throws what breaks it off */
export async function readBody({ body }: Response, answer: Answer): Promise<void> {
  const reader = body?.getReader();
  // Takes a byte order mark off.
  const decoder = new TextDecoder();
  let left = MAX_RESPONSE_BYTES;
  while (reader && !isPage(answer)) {
    const { done, value } = await reader.read();
    if (done) return;
    left -= value.length;
    if (left < 0) throw new RangeError();
    answer.text += decoder.decode(value, { stream: true });
  }
  reader?.cancel().catch(() => {});
}

/**
 * What an answer of 2xx means. A backend answers with nothing, protobuf or a JSON object; a web page is no backend's, so whoever
 * wrote it does not have the spans. Anything else counts as delivered: sending the batch again would double it where it is.
 * @param brokenBy why the body could not be read to its end
 */
export function judgeAnswer(answer: Answer, brokenBy = ""): SendResult {
  const { status, contentType, text } = answer;
  if (isPage(answer)) return { outcome: "held", reason: "web page", status };
  const delivered = { outcome: "delivered", rejectedSpans: 0, message: "" } as const;
  if (brokenBy) return { ...delivered, message: `unreadable answer: ${brokenBy}` };
  if (isProtobuf(contentType)) {
    // A full success is written with two bytes at the most.
    return text.length > 2 ? { ...delivered, message: "a partial success in protobuf, which is not read" } : delivered;
  }
  if (!text.trim()) return delivered;
  try {
    const json: unknown = JSON.parse(text);
    if (typeof json === "object" && json && !Array.isArray(json)) return { ...delivered, ...partialSuccess(json) };
  } catch {}
  return { ...delivered, message: "neither JSON nor protobuf", isUnexpected: true };
}

function partialSuccess(json: { partialSuccess?: { rejectedSpans?: unknown; errorMessage?: unknown } | null }) {
  const { rejectedSpans, errorMessage } = json.partialSuccess ?? {};
  // A 64-bit number is a string in JSON.
  const rejected = Number(rejectedSpans);
  return {
    rejectedSpans: rejected > 0 && Number.isSafeInteger(rejected) ? rejected : 0,
    message: String(errorMessage ?? ""),
  };
}

/** A 204 and a 205 have no body, whatever their headers say of one. In UTF-16 there are zeros and unreadable marks around a page's `<`. */
function isPage({ status, contentType, text }: Answer): boolean {
  if (status === 204 || status === 205 || isProtobuf(contentType)) return false;
  return /^\s*(?:text\/html|application\/xhtml)/i.test(contentType) || /^[\s\0\ufeff\ufffd]*</.test(text);
}

function isProtobuf(contentType: string): boolean {
  return /protobuf/i.test(contentType);
}
