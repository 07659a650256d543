/** Paths of the programs that a local system starts. */
import { fileURLToPath } from "node:url";

export const RUNNER = fileURLToPath(import.meta.resolve("@valet/runner/bin"));
/**
 * Flags with which Bun runs Valet's own programs: a `.env`, a `bunfig.toml` or a missing package in the current
 * directory must not change what runs.
 */
export const BUN_FLAGS = ["--no-env-file", "--config=/dev/null", "--no-install"] as const;
export const BUN = fileURLToPath(new URL("bin/bun.exe", import.meta.resolve("bun/package.json")));
