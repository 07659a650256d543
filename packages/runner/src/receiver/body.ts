/** Reads bodies of requests within limits, also of what they unpack to. */
import { promisify } from "node:util";
import { gunzip } from "node:zlib";

export type BodyError = "too_large" | "malformed" | "too_slow";
export type Body =
  | { readonly ok: true; readonly bytes: Uint8Array }
  | { readonly ok: false; readonly error: BodyError };

export interface BodyLimits {
  /** Of the body as it is sent, and again unpacked, in bytes. */
  readonly maxBytes: number;
  /** From the headers to the last byte. */
  readonly timeoutMs: number;
}

const unzip = promisify(gunzip);

/** Reads a body, and unpacks one that is gzip'd. Never rejects. */
export async function readBody(request: Request, isGzip: boolean, { maxBytes, timeoutMs }: BodyLimits): Promise<Body> {
  const packed = await readBytes(request, maxBytes, timeoutMs);
  if (!packed.ok || !isGzip) return packed;
  try {
    return { ok: true, bytes: await unzip(packed.bytes, { maxOutputLength: maxBytes }) };
  } catch (error) {
    return {
      ok: false,
      error: (error as { code?: unknown }).code === "ERR_BUFFER_TOO_LARGE" ? "too_large" : "malformed",
    };
  }
}

async function readBytes(request: Request, maxBytes: number, timeoutMs: number): Promise<Body> {
  const reader = request.body?.getReader();
  if (reader === undefined) return { ok: true, bytes: new Uint8Array() };
  const chunks: Uint8Array[] = [];
  let length = 0;
  let error: BodyError | undefined;
  const stop = (why: BodyError) => {
    error ??= why;
    void reader.cancel().catch(() => {});
  };
  const timer = setTimeout(() => stop("too_slow"), timeoutMs);
  try {
    for (let next = await reader.read(); !next.done && error === undefined; next = await reader.read()) {
      length += next.value.length;
      if (length > maxBytes) stop("too_large");
      else chunks.push(next.value);
    }
  } catch {
    // The client has broken off.
    error ??= "malformed";
  } finally {
    clearTimeout(timer);
  }
  return error === undefined ? { ok: true, bytes: Buffer.concat(chunks) } : { ok: false, error };
}
