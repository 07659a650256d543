// Builds the page into a folder, for `valet up`: `node scripts/build.ts FOLDER`. For a deployment: `pnpm --filter @valet/web build`.
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { build } from "vite";

const [outDir] = process.argv.slice(2);
if (outDir === undefined) throw new Error("usage: node scripts/build.ts FOLDER");
try {
  await build({
    root: join(import.meta.dirname, ".."),
    // Otherwise Vite would write a bundle of its configuration into the sources.
    configLoader: "native",
    logLevel: "silent",
    build: { outDir, emptyOutDir: true },
  });
} catch (error) {
  // `up` shows the first lines.
  console.error(`Error: ${stripVTControlCharacters((error as Error).message)}`);
  process.exitCode = 1;
}
