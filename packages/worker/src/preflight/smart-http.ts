/** What git says over HTTP: pkt-lines of protocol version 2 (gitprotocol-v2, gitprotocol-http). Pure, but for reading a body. */

import { MAX_GIT_ANSWER_BYTES } from "@valet/shared/protocol/public-egress";

const LINE = (text: string) => (new TextEncoder().encode(text).length + 4).toString(16).padStart(4, "0") + text;

/** Returns whether an answer to `info/refs?service=git-upload-pack` comes from a git server ("smart" HTTP). */
export function isGitAdvertisement(contentType: string | null, text: string): boolean {
  const type = contentType?.split(";", 1)[0]?.trim().toLowerCase();
  return type === "application/x-git-upload-pack-advertisement" && /^[0-9a-f]{4}/.test(text);
}

/** Returns the request for the refs that begin with one of these names, which nobody escapes: their UTF-8 bytes are counted. */
export function lsRefsRequest(prefixes: readonly string[]): string {
  const lines = prefixes.map((prefix) => LINE(`ref-prefix ${prefix}\n`));
  return `${LINE("command=ls-refs\n")}0001${lines.join("")}0000`;
}

/** Returns the names of the refs in an answer to {@link lsRefsRequest}; `undefined` if that is not complete. */
export function advertisedRefs(text: string): string[] | undefined {
  const bytes = new TextEncoder().encode(text);
  const refs: string[] = [];
  for (let at = 0; ; ) {
    const length = Number.parseInt(new TextDecoder().decode(bytes.subarray(at, at + 4)), 16);
    if (length === 0) return refs;
    if (!(length > 4) || at + length > bytes.length) return undefined;
    const [, ref] = new TextDecoder()
      .decode(bytes.subarray(at + 4, at + length))
      .trimEnd()
      .split(" ");
    if (ref !== undefined) refs.push(ref);
    at += length;
  }
}

/** Returns the beginning of a body as text. */
export async function readBounded({ body }: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of body ?? []) {
    bytes += chunk.byteLength;
    text += decoder.decode(chunk, { stream: true });
    if (bytes > MAX_GIT_ANSWER_BYTES) break;
  }
  return text;
}
