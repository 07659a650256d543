/**
 * Converts a message's attachments into parts that every model supports. OpenCode keeps attachments in the session's history
 * and sends them to the model with each later prompt. A file of an unsupported type would therefore fail all later prompts.
 */
import { join } from "node:path";
import { attachmentKind, plainMediaType } from "@valet/shared/protocol/attachment-kinds";
import type { Attachment } from "@valet/shared/protocol/dispatch";
import type { PromptPart } from "../agent/agent.ts";
import { otherOwnerOf } from "../files/file-owner.ts";
import { OpenFolder, type Owner } from "../files/open-folder.ts";

/** In the workspace. Git ignores it. */
const FOLDER = ".valet";

/**
 * Returns the prompt parts of attachments. Stores a file that models do not support in the workspace, and adds a text with its
 * path.
 * @param attemptId the name of the folder, so files of different messages may have the same name
 */
export function attachmentParts(
  attachments: readonly Attachment[],
  { workspace, attemptId }: { readonly workspace: string; readonly attemptId: string },
): PromptPart[] {
  return attachments.map((attachment, index) => {
    const { filename, mediaType, url } = attachment;
    const bytes = decode(url);
    const type = plainMediaType(mediaType);
    const kind = bytes === undefined ? "workspace" : attachmentKind(type, bytes);
    if (kind !== "workspace" && bytes !== undefined) {
      const mime = kind === "text" ? "text/plain" : type;
      // OpenCode and providers read one form of these URLs only. Another one (`IMAGE/PNG`, a parameter, no base64, an alphabet for URLs)
      // fails this prompt and, since it stays in the history, all later ones.
      return { type: "file", mime, filename, url: `data:${mime};base64,${bytes.toString("base64")}` };
    }
    const about = `The user attached "${filename}" (${type || "of unknown type"}, ${bytes?.length ?? 0} bytes).`;
    const path =
      bytes === undefined ? undefined : store(workspace, attemptId, `${index + 1}-${safeName(filename)}`, bytes);
    const where = path === undefined ? "It could not be stored." : `It is in the workspace: ${path}`;
    return { type: "text", text: `${about} ${where}`, synthetic: true };
  });
}

/** Returns the bytes of a `data:` URL; `undefined` if it is invalid. */
function decode(url: string): Buffer | undefined {
  const match = /^data:([^,]*),(.*)$/s.exec(url);
  if (match === null) return undefined;
  const [, kind = "", data = ""] = match;
  const bytes = percentDecoded(data);
  if (!/;base64$/i.test(kind)) return bytes;
  const text = bytes.toString("latin1");
  return /^[A-Za-z0-9+/_-]*={0,2}\s*$/.test(text) ? Buffer.from(text, "base64") : undefined;
}

/** Unlike `decodeURIComponent`, also decodes what is no text. */
function percentDecoded(text: string): Buffer {
  const pieces = text.split(/(%[\da-f]{2})/i);
  return Buffer.concat(
    pieces.map((piece, index) => (index % 2 === 0 ? Buffer.from(piece) : Buffer.from(piece.slice(1), "hex"))),
  );
}

/**
 * Writes a file into the workspace, and nowhere else, even if the agent has created links there or does so meanwhile.
 * @returns its path relative to the workspace; `undefined` if it cannot be written
 */
function store(workspace: string, attemptId: string, name: string, bytes: Buffer): string | undefined {
  const names = [FOLDER, "attachments", safeName(attemptId)];
  try {
    const owner = otherOwnerOf(workspace);
    OpenFolder.use({ root: workspace, names: [] }, (folder) => {
      writeBelow(folder, names, owner, (attachments) => attachments.create(name, bytes, { owner }));
    });
    return join(...names, name);
  } catch {
    return undefined;
  }
}

/** Calls `write` with the folder at these names, which are created if they are missing. */
function writeBelow(
  folder: OpenFolder,
  [name, ...rest]: readonly string[],
  owner: Owner | undefined,
  write: (folder: OpenFolder) => void,
): void {
  if (name === undefined) return write(folder);
  folder.within(name, (inner, isNew) => {
    if (isNew && owner !== undefined) inner.give(owner);
    if (name === FOLDER) ignore(inner, owner);
    writeBelow(inner, rest, owner, write);
  });
}

function ignore(folder: OpenFolder, owner: Owner | undefined): void {
  try {
    folder.create(".gitignore", "*\n", { owner });
  } catch {
    // It already exists.
  }
}

function safeName(name: string): string {
  const safe = name
    .replace(/[^\w.-]+/g, "_")
    .replace(/^\.+/, "_")
    .slice(-100);
  return safe === "" ? "file" : safe;
}
