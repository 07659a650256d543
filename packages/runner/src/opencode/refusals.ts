/**
 * Tells Valet's plugin in OpenCode's process that permits which it requested ahead are no longer valid. The plugin compares the
 * size of a file, so it learns of a decision before it sends the next request, however busy OpenCode is.
 */
import { closeSync, constants, mkdirSync, writeSync } from "node:fs";
import { join } from "node:path";
import { OpenFolder } from "../files/open-folder.ts";
import { CONFIG_FOLDER } from "./config-folder.ts";

const FILE = "refusals";

export class Refusals {
  readonly path: string;
  /** A trusted repository's agent can change what is in it. */
  readonly #folder: string;

  /** @param stateFolder the runner's state folder */
  constructor(stateFolder: string) {
    this.#folder = join(stateFolder, CONFIG_FOLDER);
    this.path = join(this.#folder, FILE);
  }

  /** Creates the file, for a new OpenCode. Without it the plugin requests no permits ahead. */
  reset(): void {
    try {
      mkdirSync(this.#folder, { recursive: true });
      this.#within((folder) => folder.replace(FILE, ""));
    } catch {
      this.#remove();
    }
  }

  /** Records that calls are refused from now on. Never throws. */
  add(): void {
    try {
      this.#within((folder) => {
        const file = folder.file(FILE, constants.O_WRONLY | constants.O_APPEND);
        try {
          writeSync(file, ".");
        } finally {
          closeSync(file);
        }
      });
    } catch {
      // For example on a full disk.
      this.#remove();
    }
  }

  #remove(): void {
    try {
      this.#within((folder) => folder.remove(FILE));
    } catch {
      // Then only the abort, which OpenCode receives a moment later, ends its work.
    }
  }

  /** @throws errors of the file system */
  #within(work: (folder: OpenFolder) => void): void {
    OpenFolder.use({ root: this.#folder, names: [] }, work);
  }
}
