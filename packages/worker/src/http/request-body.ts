/**
 * Reads the whole body before the route runs, so that problems of its transfer, which are the caller's, are
 * distinguished from errors of the Worker.
 */
import { MAX_REQUEST_BYTES } from "@valet/shared/protocol/session-api";
import type { AppMiddleware } from "./context.ts";
import { problem } from "./problem.ts";

/** The timeout for the whole body. A megabyte takes this long at 140 kbit/s. */
export const BODY_TIMEOUT_MS = 60_000;

const TOO_LARGE = () => problem("body-too-large", { detail: `at most ${MAX_REQUEST_BYTES} bytes` });

/** Refuses a body that is too large, too slow, or incomplete, without buffering more than the limit. */
export const readBody: AppMiddleware = async (c, next) => {
  const { raw } = c.req;
  if (raw.body !== null) {
    if (Number(raw.headers.get("content-length") ?? 0) > MAX_REQUEST_BYTES) throw TOO_LARGE();
    c.req.raw = new Request(raw, { body: await readAll(raw.body, MAX_REQUEST_BYTES, BODY_TIMEOUT_MS) });
  }
  await next();
};

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
