/** Files that go with a message: how they are sent, and what the API would refuse, said before it is sent. Pure. */
import { attachmentKind, isText, plainMediaType } from "@valet/shared/protocol/attachment-kinds";
import { ATTACHMENT_LIMITS, MAX_MESSAGE_BYTES, messageBytes } from "@valet/shared/protocol/message-limits";
import { cutEnd } from "@valet/shared/text";
import type { Schemas } from "../api/client.ts";
import { formatBytes } from "../format/bytes.ts";

/** A file as the API takes it. */
export type Attachment = NonNullable<Schemas["SendMessage"]["attachments"]>[number];

/** A file that has been chosen. */
export interface AttachedFile extends Attachment {
  readonly id: string;
  /** Of the file, in bytes. */
  readonly size: number;
  /** Whether a model can read it; Valet stores another one in the workspace and gives the agent its path. */
  readonly isForModel: boolean;
}

/** A file before its content is read. */
interface FileFacts {
  readonly name: string;
  readonly type: string;
  readonly size: number;
}

const PLAIN_TEXT = "text/plain";
/** In a `data:` URL a comma would end it. */
const MEDIA_TYPE = /^[\w!#$&^.+-]+\/[\w!#$&^.+-]+$/;
const UNKNOWN_TYPE = "application/octet-stream";
/** The longest beginning of a `data:` URL before its content: scheme, media type, encoding. */
const MAX_HEAD = "data:;base64,".length + ATTACHMENT_LIMITS.mediaType;
/** The largest file whose `data:` URL is short enough, in bytes: base64 makes four characters of three bytes. */
export const MAX_FILE_BYTES = Math.floor((ATTACHMENT_LIMITS.url - MAX_HEAD) / 4) * 3;

/** Returns why a file is not attached, as a sentence; `undefined` if it may be. @param count how many are attached already */
export function fileProblem({ name, size }: FileFacts, count: number): string | undefined {
  const shown = `“${cutEnd(name, 80)}”`;
  if (count >= ATTACHMENT_LIMITS.files) {
    return `${shown} was not attached: a message takes at most ${ATTACHMENT_LIMITS.files} files.`;
  }
  if (size > MAX_FILE_BYTES) {
    return `${shown} was not attached: it has ${formatBytes(size)}, and a file may have ${formatBytes(MAX_FILE_BYTES)}. Put a larger one into the repository, or have the agent fetch it.`;
  }
  return undefined;
}

/** Returns a file with its content, ready to be sent. @param id tells it apart from others of the same name */
export function attachedFile({ name, type, size }: FileFacts, bytes: Uint8Array, id: string): AttachedFile {
  const named = plainMediaType(type);
  const isNamed = MEDIA_TYPE.test(named) && named.length <= ATTACHMENT_LIMITS.mediaType;
  const kind = attachmentKind(named, bytes);
  // Browsers guess the type by the name: TypeScript is a video to them, Markdown nothing. What reads as text is sent as text.
  const isPlain = kind === "workspace" && isText(bytes);
  const mediaType = isPlain ? PLAIN_TEXT : isNamed ? named : UNKNOWN_TYPE;
  return {
    id,
    filename: shortName(name),
    mediaType,
    url: `data:${mediaType};base64,${base64Of(bytes)}`,
    size,
    isForModel: isPlain || kind !== "workspace",
  };
}

/** Returns what the API takes of files. */
export function bodyOf(files: readonly AttachedFile[]): Attachment[] {
  return files.map(({ filename, mediaType, url }) => ({ filename, mediaType, url }));
}

/** Returns why a message is too large, as a sentence; `undefined` if it is not. */
export function sizeProblem(text: string, files: readonly AttachedFile[]): string | undefined {
  const bytes = messageBytes(text, bodyOf(files));
  if (bytes <= MAX_MESSAGE_BYTES) return undefined;
  const rest = files.length === 0 ? "Shorten it." : "Remove a file, or send them one after the other.";
  return `Text and files have ${formatBytes(bytes)} together, of which files take a third more than on disk; a message may have ${formatBytes(MAX_MESSAGE_BYTES)}. ${rest}`;
}

/** A name that is too long keeps its end, which says what kind of file it is. */
function shortName(name: string): string {
  const text = (name === "" ? "file" : name).toWellFormed();
  if (text.length <= ATTACHMENT_LIMITS.filename) return text;
  const end = text.slice(-32).toWellFormed();
  return `${cutEnd(text, ATTACHMENT_LIMITS.filename - end.length - 1)}${end}`;
}

/** At once, a call has only so many arguments. */
const PART = 8192;

function base64Of(bytes: Uint8Array): string {
  let binary = "";
  for (let at = 0; at < bytes.length; at += PART) binary += String.fromCharCode(...bytes.subarray(at, at + PART));
  return btoa(binary);
}
