/** Tells whether somebody removed the files of this runner's sandbox. */
import { lstatSync, statSync } from "node:fs";
import { dirname } from "node:path";
import type { Settings } from "./settings.ts";

export class SandboxFiles {
  readonly #folders: readonly string[];
  /** The folder that holds the sandbox's folder, as the broker's driver `local` makes it, and which folder that was at first. */
  readonly #around: string;
  readonly #aroundId: string | undefined;

  constructor({ workspace, home }: Pick<Settings, "workspace" | "home">) {
    this.#folders = [workspace, home];
    this.#around = dirname(dirname(workspace));
    this.#aroundId = folderId(this.#around);
  }

  /**
   * Whether neither the workspace nor the home exists. Where the folder of all sandboxes is missing or another one, as on a disk that
   * was unmounted or answers with an error, the files may come back, and do not count as removed. The broker applies the same rule.
   */
  get areRemoved(): boolean {
    if (!this.#folders.every(isMissing)) return false;
    return this.#aroundId !== undefined && folderId(this.#around) === this.#aroundId;
  }
}

/** Whether nothing is there. Of a disk that answers with an error, nobody knows. */
function isMissing(path: string): boolean {
  try {
    lstatSync(path);
    return false;
  } catch (error) {
    return ["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "");
  }
}

/** Returns `undefined` without a folder, and for one whose disk answers with an error. */
function folderId(path: string): string | undefined {
  try {
    const { dev, ino } = statSync(path);
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}
