/** Bundles the runner, so that it starts with half the CPU time that its modules take (packages/runner/scripts/bundle.ts). */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { keptBundle, lockfileOf, sourcesOf } from "./kept-bundle.ts";
import { BUN, BUN_FLAGS, BUN_MANIFEST, RUNNER_PACKAGE } from "./programs.ts";

const ENTRYPOINT = "bin.js";
const BUILD_TIMEOUT_MS = 30_000;
/** Runners run from the bundle for as long as their sandboxes live. */
const UNUSED_MS = 30 * 24 * 60 * 60 * 1000;

/** The workspace packages whose sources the bundle contains. */
const CONTENTS = ["runner", "shared", "opencode-plugin"] as const;

/**
 * Returns the entrypoint of the runner's bundle, which is made if there is none of the present sources. It is kept in the runner's
 * package and not in the state directory, where agents could change it.
 * @param runnerPackage the folder of the runner's package, beside the packages that it needs
 * @returns the entrypoint in the sources if the bundle cannot be made, for example since the package belongs to another user
 */
export async function runnerProgram(runnerPackage: string = RUNNER_PACKAGE): Promise<string> {
  const script = join(runnerPackage, "scripts/bundle.ts");
  try {
    const sources = await Promise.all(CONTENTS.map((name) => sourcesOf(join(runnerPackage, "..", name))));
    const folder = await keptBundle({
      bundles: join(runnerPackage, "dist"),
      files: [BUN_MANIFEST, script, lockfileOf(runnerPackage), ...sources.flat()],
      base: runnerPackage,
      unusedMs: UNUSED_MS,
      make: async (unfinished) => {
        await promisify(execFile)(BUN, [...BUN_FLAGS, script, unfinished], {
          cwd: runnerPackage,
          timeout: BUILD_TIMEOUT_MS,
        });
      },
    });
    return join(folder, ENTRYPOINT);
  } catch {
    return join(runnerPackage, "src/bin.ts");
  }
}
