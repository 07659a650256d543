/** Stores the progress of a repository's setup in the runner's state folder, outside the agent's workspace. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { REPOSITORY_FILE } from "../state/state-folder.ts";

const Progress = z.object({
  /** The generation of the sandbox that wrote it. */
  generation: z.number(),
  /** `cloned`: the clone is complete, the checkout is not. */
  stage: z.enum(["cloned", "done"]),
});

export class RepositoryProgress {
  readonly #path: string;
  readonly #generation: number;
  readonly #found: z.infer<typeof Progress> | undefined;

  /** @param generation of this runner's sandbox */
  constructor(stateFolder: string, generation: number) {
    this.#path = join(stateFolder, REPOSITORY_FILE);
    this.#generation = generation;
    this.#found = readProgress(this.#path);
  }

  /** Whether the setup was interrupted in this sandbox, so no agent has worked in it yet. */
  get isUnfinished(): boolean {
    return this.#found?.stage === "cloned" && this.#found.generation === this.#generation;
  }

  /** Whether a setup began in this sandbox, or in an earlier one whose files this one has. */
  get isKnown(): boolean {
    return this.#found !== undefined;
  }

  /** @throws errors of the file system */
  write(stage: "cloned" | "done"): void {
    writeFileSync(this.#path, JSON.stringify({ generation: this.#generation, stage }), { mode: 0o600 });
  }
}

function readProgress(path: string) {
  try {
    return Progress.safeParse(JSON.parse(readFileSync(path, "utf8"))).data;
  } catch {
    return undefined;
  }
}
