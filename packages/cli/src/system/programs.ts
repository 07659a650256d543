/** Paths of the programs that a local system starts. */
import { realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The runner's package. */
export const RUNNER_PACKAGE = join(
  dirname(realpathSync(fileURLToPath(import.meta.resolve("@valet/runner/bin")))),
  "..",
);
/** The runner's entrypoint in its sources. */
export const RUNNER = join(RUNNER_PACKAGE, "src/bin.ts");
/**
 * Flags with which Bun runs Valet's own programs: a `.env`, a `bunfig.toml` or a missing package in the current
 * directory must not change what runs.
 */
export const BUN_FLAGS = ["--no-env-file", "--config=/dev/null", "--no-install"] as const;
const BUN_PACKAGE = new URL(".", import.meta.resolve("bun/package.json"));
export const BUN = fileURLToPath(new URL("bin/bun.exe", BUN_PACKAGE));
/** Bun's `package.json`, which has its version. */
export const BUN_MANIFEST = fileURLToPath(new URL("package.json", BUN_PACKAGE));
