/** How far a repository's setup has come: kept with the runner's state, where the agent does not work. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { REPOSITORY_FILE } from "../state/state-folder.ts";

const Progress = z.object({
  /** The sandbox that it was done in. */
  generation: z.number(),
  /** `cloned`: the repository is there, and its files are not yet. */
  stage: z.enum(["cloned", "done"]),
});

export class RepositoryProgress {
  readonly #path: string;
  readonly #generation: number;
  readonly #found: z.infer<typeof Progress> | undefined;

  /** @param generation of the sandbox that this runner runs in */
  constructor(stateFolder: string, generation: number) {
    this.#path = join(stateFolder, REPOSITORY_FILE);
    this.#generation = generation;
    this.#found = readProgress(this.#path);
  }

  /** Whether the setup was cut short in this sandbox, in which no agent has worked yet. */
  get isUnfinished(): boolean {
    return this.#found?.stage === "cloned" && this.#found.generation === this.#generation;
  }

  /** Whether a setup was begun in this sandbox or in one that its files are from. */
  get isKnown(): boolean {
    return this.#found !== undefined;
  }

  /** @throws what the file system says */
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
