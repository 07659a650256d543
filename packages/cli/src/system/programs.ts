/** Programs that a local system starts, by their paths. */
import { fileURLToPath } from "node:url";

export const RUNNER = fileURLToPath(import.meta.resolve("@valet/runner/bin"));
/**
 * How Bun runs our own programs: a `.env`, a `bunfig.toml` or a missing package of wherever it is started must not change what
 * it runs.
 */
export const BUN_FLAGS = ["--no-env-file", "--config=/dev/null", "--no-install"] as const;
export const BUN = fileURLToPath(new URL("bin/bun.exe", import.meta.resolve("bun/package.json")));
