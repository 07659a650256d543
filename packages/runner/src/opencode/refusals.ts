/**
 * Tells Valet's plugin in OpenCode's process that permits which it requested ahead are no longer valid. The plugin compares the
 * size of a file, so it learns of a decision before it sends the next request, however busy OpenCode is.
 */
import { appendFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { CONFIG_FOLDER } from "./config-folder.ts";

export class Refusals {
  readonly path: string;

  /** @param stateFolder the runner's state folder */
  constructor(stateFolder: string) {
    this.path = join(stateFolder, CONFIG_FOLDER, "refusals");
  }

  /** Creates the file, for a new OpenCode. Without it the plugin requests no permits ahead. */
  reset(): void {
    try {
      mkdirSync(dirname(this.path), { recursive: true });
      writeFileSync(this.path, "");
    } catch {
      this.#remove();
    }
  }

  /** Records that calls are refused from now on. Never throws. */
  add(): void {
    try {
      appendFileSync(this.path, ".");
    } catch {
      // For example on a full disk.
      this.#remove();
    }
  }

  #remove(): void {
    try {
      rmSync(this.path, { force: true });
    } catch {
      // Then only the abort, which OpenCode receives a moment later, ends its work.
    }
  }
}
