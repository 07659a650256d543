/** What becomes of an attached file: the model gets it, or it is stored in the workspace. Pure. */

/** The media types that models support, with the beginning of their files in hexadecimal digits. OpenCode omits those that a model lacks. */
const MODEL_TYPES: { readonly [mediaType: string]: RegExp | undefined } = {
  "image/png": /^89504e470d0a1a0a/,
  "image/jpeg": /^ffd8ff/,
  // GIF87a, GIF89a
  "image/gif": /^474946383[79]61/,
  // RIFF, four bytes of length, WEBP
  "image/webp": /^52494646.{8}57454250/,
  // %PDF-
  "application/pdf": /^255044462d/,
};
/** The media types that are text. OpenCode includes only `text/plain` in the prompt. */
const TEXT_TYPE =
  /^text\/|^application\/(?:[\w.+-]*\+)?(?:json|xml|yaml|toml|javascript|x-sh|x-yaml|sql|graphql|x-ndjson)$/;
const MAGIC_LENGTH = 16;

/** The model gets the file as it is; or as plain text; or Valet stores it in the workspace and gives the agent its path. */
export type AttachmentKind = "model" | "text" | "workspace";

/** Returns what becomes of a file. @param mediaType in lower case and without parameters: {@link plainMediaType} */
export function attachmentKind(mediaType: string, bytes: Uint8Array): AttachmentKind {
  const magic = Object.hasOwn(MODEL_TYPES, mediaType) ? MODEL_TYPES[mediaType] : undefined;
  if (magic?.test(hexOf(bytes.subarray(0, MAGIC_LENGTH))) === true) return "model";
  return TEXT_TYPE.test(mediaType) && isText(bytes) ? "text" : "workspace";
}

/** Returns a media type in lower case and without parameters; empty if there is none. */
export function plainMediaType(mediaType: string): string {
  return mediaType.toLowerCase().split(";", 1)[0]?.trim() ?? "";
}

/** Returns whether bytes are UTF-8 without NUL, which no text contains. */
export function isText(bytes: Uint8Array): boolean {
  if (bytes.includes(0)) return false;
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
