/** Programs that a local system starts, by their paths. */
import { fileURLToPath } from "node:url";

export const RUNNER = fileURLToPath(import.meta.resolve("@valet/runner/bin"));
export const BUN = fileURLToPath(new URL("bin/bun.exe", import.meta.resolve("bun/package.json")));
