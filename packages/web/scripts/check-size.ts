// Says how much JavaScript a browser loads before the first paint of each page, gzip'd, and fails if it is too much for one:
//
//     pnpm --filter @valet/web build && pnpm --filter @valet/web size
import { join } from "node:path";
import { firstScripts, LIMIT_BYTES } from "./first-scripts.ts";

const root = join(import.meta.dirname, "..");
for (const { page, files, bytes } of firstScripts(root, join(root, "dist"))) {
  process.stdout.write(`${String(bytes).padStart(8)}  ${page}: ${files.size} scripts; the limit is ${LIMIT_BYTES}\n`);
  if (bytes > LIMIT_BYTES) process.exitCode = 1;
}
