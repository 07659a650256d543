/**
 * Reads the whole body of a request before its route begins: what goes wrong while it arrives is the caller's doing and not ours,
 * and it is told apart from what goes wrong afterwards.
 */
import { MAX_REQUEST_BYTES } from "@valet/shared/protocol/session-api";
import type { AppMiddleware } from "./context.ts";
import { problem } from "./problem.ts";

/** For all of a body. A megabyte takes as long at 140 kbit/s. */
export const BODY_TIMEOUT_MS = 60_000;

const TOO_LARGE = () => problem("body-too-large", { detail: `at most ${MAX_REQUEST_BYTES} bytes` });

/** Refuses a body that is too large, too slow, or cut short, without holding more of it than is taken. */
export const readBody: AppMiddleware = async (c, next) => {
  const { raw } = c.req;
  if (raw.body !== null) {
    if (Number(raw.headers.get("content-length") ?? 0) > MAX_REQUEST_BYTES) throw TOO_LARGE();
    c.req.raw = new Request(raw, { body: await readAll(raw.body, MAX_REQUEST_BYTES, BODY_TIMEOUT_MS) });
  }
  await next();
};

/** @throws ApiError that says what was wrong with it */
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
      // An error here is the connection's: the caller has gone away, or has sent less than was announced.
      const read = reader.read().catch(() => Promise.reject(problem("client-closed-request")));
      const { done, value } = await Promise.race([read, late]);
      if (done) return concat(chunks, size);
      size += value.byteLength;
      if (size > maxBytes) throw TOO_LARGE();
      chunks.push(value);
    }
  } catch (error) {
    // What is still on its way is not waited for.
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
