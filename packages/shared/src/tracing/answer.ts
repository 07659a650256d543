/** Interprets a backend's response to a batch (OTLP, "OTLP/HTTP Response"). */
import { partialSuccessInJson, partialSuccessInProtobuf } from "./partial-success.ts";
import { isHeldStatus, isRetryableStatus, parseRetryAfter } from "./retry.ts";

/** OTLP, "OTLP/HTTP Response": clients need not read more. */
const MAX_RESPONSE_BYTES = 4 * 1024 * 1024;

/** The result of one attempt to export a batch. */
export type SendResult =
  /** The backend accepted the batch. `message` is its warning, or says what is wrong with its response; empty if nothing is. */
  | {
      readonly outcome: "delivered";
      readonly rejectedSpans: number;
      readonly message: string;
      /** The response is text that no OTLP backend sends: it deserves one warning for each endpoint. */
      readonly isUnexpected?: true;
      /** The response ended too early, or never, so it may not come from a backend. */
      readonly isUnread?: true;
      /** The backend rejected spans, and its count of them is none. */
      readonly isUncounted?: true;
    }
  /** The batch can be retried, after `retryAfterMs` if the backend named a time. */
  | {
      readonly outcome: "retry";
      readonly reason: string;
      readonly status?: number;
      readonly retryAfterMs?: number | undefined;
    }
  /**
   * The server did not accept the batch, and will not until a person changes something: a login page, a wrong token, a wrong path.
   * The batch itself is valid, so a caller that can should keep it and retry rarely.
   */
  | { readonly outcome: "held"; readonly reason: string; readonly status: number }
  /** The backend will never accept this batch. */
  | { readonly outcome: "refused"; readonly reason: string; readonly status?: number };

/** A 2xx response, as far as it has been read. */
export interface Answer {
  readonly status: number;
  readonly contentType: string;
  text: string;
  /** The bytes of a body that should be protobuf, of which there is no text. */
  readonly protobuf: Uint8Array[];
  /** The body is larger than a client needs to read. */
  isTooLarge?: boolean;
}

/** Interprets a response other than 2xx. Does not read its body. */
export function judgeRefusal({ status, headers, body }: Response): SendResult {
  // An unread body would hold the connection.
  body?.cancel().catch(() => {});
  const reason = `HTTP ${status}`;
  // A browser reports a redirect that it may not follow as status 0.
  if (status === 0) return { outcome: "held", reason: "redirect", status };
  if (isHeldStatus(status)) return { outcome: "held", reason, status };
  if (!isRetryableStatus(status)) return { outcome: "refused", reason, status };
  return { outcome: "retry", reason, status, retryAfterMs: parseRetryAfter(headers.get("retry-after"), Date.now()) };
}

/**
 * Reads the body of a 2xx response into `answer`, as far as needed: not beyond {@link MAX_RESPONSE_BYTES}, and not beyond the first
 * character that shows that it is neither JSON nor protobuf. @throws the error that interrupts it
 */
export async function readBody({ body }: Response, answer: Answer): Promise<void> {
  const reader = body?.getReader();
  // The decoder removes a byte order mark.
  const decoder = new TextDecoder();
  let left = MAX_RESPONSE_BYTES;
  while (reader && left >= 0 && !isPage(answer) && !isOtherText(answer)) {
    const { done, value } = await reader.read();
    if (done) return;
    left -= value.length;
    answer.isTooLarge = left < 0;
    if (isProtobuf(answer.contentType)) answer.protobuf.push(value);
    else answer.text += decoder.decode(value, { stream: true });
  }
  reader?.cancel().catch(() => {});
}

/**
 * Interprets a 2xx response. A backend responds with an empty body, protobuf or a JSON object. A web page comes from something
 * else, which does not have the spans. Anything else counts as delivered, since a retry could store the spans twice.
 * @param brokenBy why the body could not be read completely
 */
export function judgeAnswer(answer: Answer, brokenBy = ""): SendResult {
  const { status, text } = answer;
  if (isPage(answer)) return { outcome: "held", reason: "web page", status };
  const delivered = { outcome: "delivered", rejectedSpans: 0, message: "" } as const;
  if (brokenBy) return { ...delivered, message: `unreadable answer: ${brokenBy}`, isUnread: true };
  if (answer.isTooLarge) return { ...delivered, message: "more than 4 MiB of text", isUnexpected: true };
  if (isProtobuf(answer.contentType)) {
    const bytes = joined(answer.protobuf);
    const partial = partialSuccessInProtobuf(bytes);
    // What is no protobuf may be what it looks like.
    return partial === undefined
      ? judgeAnswer({ status, contentType: "", text: new TextDecoder().decode(bytes), protobuf: [] })
      : { ...delivered, ...partial };
  }
  if (!text.trim()) return delivered;
  try {
    const json: unknown = JSON.parse(text);
    if (typeof json === "object" && json && !Array.isArray(json))
      return { ...delivered, ...partialSuccessInJson(json) };
  } catch {}
  return { ...delivered, message: "neither JSON nor protobuf", isUnexpected: true };
}

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/** Whether the response is a web page. 204 and 205 have no body, whatever their headers say. In UTF-16, zeros surround the `<`. */
function isPage({ status, contentType, text }: Answer): boolean {
  if (status === 204 || status === 205 || isProtobuf(contentType)) return false;
  return /^\s*(?:text\/html|application\/xhtml)/i.test(contentType) || /^[\s\0\ufeff\ufffd]*</.test(text);
}

/** Whether the response is text that cannot be a JSON object: then the rest, which may have no end, does not matter. */
function isOtherText({ contentType, text }: Answer): boolean {
  return !isProtobuf(contentType) && /^[\s\0\ufeff\ufffd]*[^\s\0\ufeff\ufffd{]/.test(text);
}

function isProtobuf(contentType: string): boolean {
  return /protobuf/i.test(contentType);
}
