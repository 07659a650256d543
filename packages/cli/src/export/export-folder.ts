/**
 * The folder of an export. It is written under another name beside its target and renamed when it is complete, so that whatever ends
 * the export leaves no folder that looks like one.
 */
import { createHash } from "node:crypto";
import { type FileHandle, mkdtemp, open, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { makeFolders } from "@valet/sandbox";
import { creationText } from "../creation-error.ts";
import { UserError } from "../errors.ts";

/** What the manifest says of a file. */
export interface ExportedFile {
  readonly lines: number;
  readonly bytes: number;
  /** In hex. */
  readonly sha256: string;
}

export class ExportFolder {
  readonly #target: string;
  readonly #partial: string;

  private constructor(target: string, partial: string) {
    this.#target = target;
    this.#partial = partial;
  }

  /** @throws UserError if the target is there and not an empty folder, or nothing can be written beside it */
  static async create(path: string): Promise<ExportFolder> {
    const target = resolve(path);
    await requireEmpty(target);
    return explained(target, async () => {
      makeFolders(dirname(target), 0o777);
      // Only for its owner, since it holds what people and models said.
      return new ExportFolder(target, await mkdtemp(join(dirname(target), `.${basename(target)}.partial-`)));
    });
  }

  /** Writes a file, line by line. */
  async write(name: string, lines: AsyncIterable<string>): Promise<ExportedFile> {
    const path = join(this.#partial, name);
    const file = await explained(path, () => open(path, "wx", 0o600));
    try {
      return await fill(file, path, lines);
    } finally {
      await file.close();
    }
  }

  /** Gives the folder its name. @throws UserError if something else has it by now */
  async complete(): Promise<string> {
    await requireEmpty(this.#target);
    await explained(this.#target, () => rename(this.#partial, this.#target));
    return this.#target;
  }

  /** Removes what was written, if the export failed. */
  async discard(): Promise<void> {
    await rm(this.#partial, { recursive: true, force: true });
  }
}

async function fill(file: FileHandle, path: string, lines: AsyncIterable<string>): Promise<ExportedFile> {
  const hash = createHash("sha256");
  let [count, bytes] = [0, 0];
  for await (const line of lines) {
    const text = Buffer.from(`${line}\n`);
    await explained(path, () => file.appendFile(text));
    hash.update(text);
    count++;
    bytes += text.length;
  }
  await explained(path, () => file.sync());
  return { lines: count, bytes, sha256: hash.digest("hex") };
}

async function requireEmpty(target: string): Promise<void> {
  const entries = await readdir(target).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    const why = error.code === "ENOTDIR" ? "it is a file, or below one" : `it cannot be read (${error.code})`;
    throw new UserError(`${target} cannot be the folder of an export: ${why}. Name another one.`);
  });
  if (entries.length > 0) throw new UserError(`${target} is not empty. Name another folder.`);
}

/** Runs `work`, which creates or fills something at `path`. @throws UserError instead of an error of the file system */
async function explained<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const why = creationText(path, error);
    if (why === undefined) throw error;
    throw new UserError(`Nothing was exported. ${why}`);
  }
}
