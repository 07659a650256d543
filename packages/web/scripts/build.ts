// Builds the page into a folder, for `valet up`: `node scripts/build.ts FOLDER`. For a deployment: `pnpm --filter @valet/web build`.
import { join } from "node:path";
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
  console.error(`Error: ${(error as Error).message.replaceAll(/\n+/g, "\n")}`);
  process.exitCode = 1;
}
