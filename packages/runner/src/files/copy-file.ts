/** Copies a file that an agent can change meanwhile. */
import { closeSync, constants, fstatSync, readSync, type Stats } from "node:fs";
import { open } from "node:fs/promises";
import { type FolderPlace, OpenFolder } from "./open-folder.ts";

const CHUNK_BYTES = 1024 * 1024;

/**
 * Copies a file to a new one, which is removed by the caller if this fails.
 * @returns what is known about the original; `undefined` if there is no regular file at this place
 * @throws the file system's error, and an error with the code `EFBIG` if there is more than `maxBytes`
 */
export async function copyFile(
  place: FolderPlace,
  name: string,
  to: string,
  maxBytes: number,
): Promise<Stats | undefined> {
  const file = openFile(place, name);
  if (file === undefined) return undefined;
  try {
    const stats = fstatSync(file);
    const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, maxBytes + 1));
    const copy = await open(to, "wx", 0o600);
    try {
      // It may grow meanwhile.
      for (let left = maxBytes; ; ) {
        const read = readSync(file, chunk, 0, chunk.length, null);
        if (read === 0) return stats;
        left -= read;
        if (left < 0 || stats.size > maxBytes)
          throw Object.assign(new Error("the file is too long"), { code: "EFBIG" });
        await copy.writeFile(chunk.subarray(0, read));
      }
    } finally {
      await copy.close();
    }
  } finally {
    closeSync(file);
  }
}

function openFile(place: FolderPlace, name: string): number | undefined {
  try {
    return OpenFolder.use(place, (folder) => folder.file(name, constants.O_RDONLY));
  } catch {
    return undefined;
  }
}
