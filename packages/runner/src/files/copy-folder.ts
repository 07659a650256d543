/** Copies a folder that an agent can change meanwhile. */
import type { OpenFolder } from "./open-folder.ts";

export interface CopyOptions {
  /** @param path the names of the folders in which it is */
  isCopied(name: string, path: readonly string[]): boolean;
  /** Returns what is written in place of a file's content. @param path the names of the folders, and of the file */
  change?(path: readonly string[], content: Buffer): string | Uint8Array;
  /** How much may be copied, together. */
  readonly maxBytes: number;
  readonly maxEntries: number;
}

const PERMISSIONS = 0o777;

/**
 * Copies what is in a folder: files, folders, and links as links, without pipes, sockets and devices. It replaces files of the same name.
 * @throws the file system's error, also for what was exchanged just now, and an error with the code `EFBIG` for too much
 */
export function copyFolder(from: OpenFolder, to: OpenFolder, options: CopyOptions): void {
  const left = { bytes: options.maxBytes, entries: options.maxEntries };
  const copy = (source: OpenFolder, target: OpenFolder, path: readonly string[]) => {
    for (const { name } of source.entries()) {
      if (!options.isCopied(name, path)) continue;
      if (left.entries-- <= 0) throw Object.assign(new Error("too many files"), { code: "EFBIG" });
      const stats = source.stat(name);
      if (stats?.isDirectory()) {
        source.enter(name, (folder) => target.within(name, (copied) => copy(folder, copied, [...path, name])));
      } else if (stats?.isSymbolicLink()) {
        target.remove(name);
        target.link(name, source.linkTarget(name));
      } else if (stats?.isFile()) {
        const content = source.read(name, left.bytes);
        left.bytes -= content.length;
        const changed = options.change?.([...path, name], content) ?? content;
        target.replace(name, changed, { mode: stats.mode & PERMISSIONS });
      }
    }
  };
  copy(from, to, []);
}
