import { appendFile, rename, stat } from "node:fs/promises";
import type { Readable } from "node:stream";

/**
 * A log file that keeps the newest output: at most `maxBytes` in the file, and as much in its predecessor `<path>.1`.
 * Write errors lose log lines, but never fail the writer.
 */
export class LogFile {
  readonly #path: string;
  readonly #maxBytes: number;
  #size: number | undefined;
  #writing: Promise<unknown> = Promise.resolve();

  constructor(path: string, maxBytes: number) {
    this.#path = path;
    this.#maxBytes = maxBytes;
  }

  /** Writes a stream to the log, no faster than the disk takes it. Resolves at the stream's end. */
  async drain(stream: Readable): Promise<void> {
    try {
      for await (const chunk of stream) await this.#append(chunk as Buffer);
    } catch {
      // A broken pipe counts as the stream's end.
    }
  }

  /** Appends text after all earlier text. Never rejects; resolves to whether the text was written. */
  async append(text: string): Promise<boolean> {
    return this.#append(Buffer.from(text));
  }

  #append(chunk: Buffer): Promise<boolean> {
    const written = this.#writing
      .then(() => this.#write(chunk))
      .then(
        () => true,
        () => false,
      );
    this.#writing = written;
    return written;
  }

  async #write(chunk: Buffer): Promise<void> {
    this.#size ??= await stat(this.#path).then(
      ({ size }) => size,
      () => 0,
    );
    if (this.#size + chunk.length > this.#maxBytes) {
      await rename(this.#path, `${this.#path}.1`).catch(() => {});
      this.#size = 0;
    }
    const kept = chunk.subarray(-this.#maxBytes);
    await appendFile(this.#path, kept, { mode: 0o600 });
    this.#size += kept.length;
  }
}
