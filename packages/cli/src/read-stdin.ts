/** Reads what a person or a program gives on standard input. */
import { MAX_REQUEST_BYTES } from "@valet/shared/protocol/session-api";
import { UserError } from "./errors.ts";

type Input = AsyncIterable<Uint8Array | string> & { readonly isTTY?: boolean };

/**
 * Returns the text of standard input, without the line feed at its end.
 * @param what what it is read for: "the message"
 * @param tell receives a line that says what is waited for, if a person types it
 * @throws UserError if it is empty, is longer than a request may be, or is not UTF-8
 */
export async function readStdin(
  what: string,
  tell: (line: string) => void,
  input: Input = process.stdin,
): Promise<string> {
  if (input.isTTY) tell(`Type ${what}; end it with Ctrl-D on a line of its own.`);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of input) {
    const part = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
    bytes += part.length;
    if (bytes > MAX_REQUEST_BYTES) {
      throw new UserError(
        `Standard input has more than ${MAX_REQUEST_BYTES} bytes, which is the most that a request may have.`,
      );
    }
    chunks.push(part);
  }
  const text = decode(Buffer.concat(chunks)).replace(/\r?\n$/, "");
  if (text.trim() === "")
    throw new UserError(`Standard input is empty: ${what} was expected there.`, { type: "no-input" });
  return text;
}

/** @throws UserError */
function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new UserError("Standard input is not UTF-8 text.");
  }
}
