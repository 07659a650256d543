/**
 * Converts a message's attachments into parts that every model supports. OpenCode keeps attachments in the session's history
 * and sends them to the model with each later prompt. A file of an unsupported type would therefore fail all later prompts.
 */
import { lstatSync, mkdirSync, realpathSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { attachmentKind, plainMediaType } from "@valet/shared/protocol/attachment-kinds";
import type { Attachment } from "@valet/shared/protocol/dispatch";
import type { PromptPart } from "../agent/agent.ts";
import { giveToOwnerOf } from "../processes/file-owner.ts";

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
    if (kind === "model") return { type: "file", mime: type, filename, url };
    if (kind === "text" && bytes !== undefined) {
      const isPlain = type === "text/plain";
      const plain = isPlain ? url : `data:text/plain;base64,${bytes.toString("base64")}`;
      return { type: "file", mime: "text/plain", filename, url: plain };
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
  try {
    const text = decodeURIComponent(data);
    if (!/;base64$/i.test(kind)) return Buffer.from(text);
    return /^[A-Za-z0-9+/_-]*={0,2}\s*$/.test(text) ? Buffer.from(text, "base64") : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Writes a file into the workspace, and nowhere else, even if the agent has created links there.
 * @returns its path relative to the workspace; `undefined` if it cannot be written
 */
function store(workspace: string, attemptId: string, name: string, bytes: Buffer): string | undefined {
  try {
    const root = realpathSync(workspace);
    let folder = root;
    for (const part of [FOLDER, "attachments", safeName(attemptId)]) {
      folder = join(folder, part);
      mkdirSync(folder, { recursive: true });
      if (!lstatSync(folder).isDirectory()) return undefined;
    }
    ignore(join(root, FOLDER));
    const path = join(folder, name);
    writeFileSync(path, bytes, { flag: "wx" });
    giveToOwnerOf(root, join(root, FOLDER));
    return relative(root, path);
  } catch {
    return undefined;
  }
}

function ignore(folder: string): void {
  try {
    writeFileSync(join(folder, ".gitignore"), "*\n", { flag: "wx" });
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
