/**
 * Reads the whole body before the route runs, so that problems of its transfer, which are the caller's, are
 * distinguished from errors of the Worker.
 */
import { MAX_REQUEST_BYTES } from "@valet/shared/protocol/session-api";
import type { AppMiddleware } from "./context.ts";
import { problem } from "./problem.ts";

/** The timeout for the whole body. A megabyte takes this long at 140 kbit/s. */
export const BODY_TIMEOUT_MS = 60_000;

/** How a body says that a text in it has half of a surrogate pair: only with an escape, since UTF-8 has no other way. */
const SURROGATE = /\\u[dD][89a-fA-F]/;

const TOO_LARGE = () => problem("body-too-large", { detail: `at most ${MAX_REQUEST_BYTES} bytes` });

/** Refuses a body that is too large, too slow, incomplete, compressed, or no Unicode, without buffering more than the limit. */
export const readBody: AppMiddleware = async (c, next) => {
  const { raw } = c.req;
  if (raw.body !== null) {
    if (Number(raw.headers.get("content-length") ?? 0) > MAX_REQUEST_BYTES) throw TOO_LARGE();
    const coding = raw.headers.get("content-encoding")?.trim().toLowerCase() || "identity";
    // RFC 9110, section 15.5.16: the answer says which codings are taken.
    if (coding !== "identity") {
      const detail = "Send the body without `content-encoding`: none is decompressed.";
      throw problem("unsupported-media-type", { detail }, { "accept-encoding": "identity" });
    }
    const bytes = await readAll(raw.body, MAX_REQUEST_BYTES, BODY_TIMEOUT_MS);
    if (/\bjson\b/i.test(raw.headers.get("content-type") ?? "")) refuseBrokenText(bytes);
    c.req.raw = new Request(raw, { body: bytes });
  }
  await next();
};

/**
 * Refuses JSON whose texts are no Unicode (RFC 8259, section 8). The database replaces such characters, so the text would be another
 * one than the caller sent, and would differ from the same text when it is sent again.
 */
function refuseBrokenText(bytes: Uint8Array): void {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes);
  } catch {
    throw problem("malformed-json", { detail: "The body is not UTF-8." });
  }
  if (SURROGATE.test(text) && hasLoneSurrogate(text)) {
    throw problem("malformed-json", {
      detail: "A text has half of a surrogate pair, such as `\\ud83d` without its second half.",
    });
  }
}

/** Returns whether a text or a key in JSON has half of a surrogate pair; false for what is no JSON, which is refused later. */
function hasLoneSurrogate(json: string): boolean {
  let found = false;
  try {
    JSON.parse(json, (key, value) => {
      found ||= !key.isWellFormed() || (typeof value === "string" && !value.isWellFormed());
      return value;
    });
  } catch {
    return false;
  }
  return found;
}

/** Reads a stream to its end. @throws ApiError that says what is wrong with the body */
export async function readAll(
  body: ReadableStream<Uint8Array>,
  maxBytes: number,
  timeoutMs: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const reader = body.getReader();
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(problem("request-timeout")), timeoutMs);
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for (;;) {
      // Such an error comes from the connection: the caller disconnected, or sent less than it announced.
      const read = reader.read().catch(() => Promise.reject(problem("client-closed-request")));
      const { done, value } = await Promise.race([read, late]);
      if (done) return concat(chunks, size);
      size += value.byteLength;
      if (size > maxBytes) throw TOO_LARGE();
      chunks.push(value);
    }
  } catch (error) {
    // Does not wait for the rest.
    reader.cancel().catch(() => {});
    throw error;
  } finally {
    clearTimeout(timer);
    late.catch(() => {});
  }
}

function concat(chunks: readonly Uint8Array[], size: number): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.byteLength;
  }
  return all;
}
