/** Bundles the TypeScript of a Worker into the one module that workerd loads. */
import { readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { keptBundle, lockfileOf, sourcesOf } from "./kept-bundle.ts";

/** The directory of the Worker's package. */
export const WORKER_DIR = join(dirname(fileURLToPath(import.meta.resolve("@valet/worker"))), "..");

/** How many builds are under way. */
let bundling = 0;

const MODULE = "index.js";
const ENTRY = "src/index.ts";
/** The workspace packages whose sources the module contains. */
const CONTENTS = ["worker", "shared"] as const;

/**
 * Returns Valet's own Worker as one module. The module of unchanged sources is kept, since bundling takes a sixth of the CPU time of a
 * system's start. It is kept in the Worker's package and not in the state directory, where agents could change it.
 * @param workerPackage the folder of the Worker's package, beside the packages that it needs
 */
export async function workerModule(workerPackage: string = WORKER_DIR): Promise<string> {
  const entry = join(workerPackage, ENTRY);
  try {
    const sources = await Promise.all(CONTENTS.map((name) => sourcesOf(join(workerPackage, "..", name))));
    const folder = await keptBundle({
      bundles: join(workerPackage, "node_modules/.cache/valet-worker"),
      // This file, and the version of what bundles.
      files: [
        fileURLToPath(import.meta.url),
        createRequire(import.meta.url).resolve("esbuild/package.json"),
        lockfileOf(workerPackage),
        ...sources.flat(),
      ],
      base: workerPackage,
      // Each start has read the whole module.
      unusedMs: 0,
      make: async (unfinished) => writeFile(join(unfinished, MODULE), await bundleWorker(entry)),
    });
    return await readFile(join(folder, MODULE), "utf8");
  } catch {
    // The package may belong to another user. An error in the sources is thrown again.
    return bundleWorker(entry);
  }
}

/**
 * Returns the Worker with this main module as one module.
 * @throws Error if the sources cannot be bundled
 */
export async function bundleWorker(entry: string): Promise<string> {
  // Imported on demand: a start with unchanged sources does not bundle.
  const { build, stop } = await import("esbuild");
  bundling++;
  try {
    const { outputFiles } = await build({
      entryPoints: [entry],
      bundle: true,
      write: false,
      format: "esm",
      target: "esnext",
      conditions: ["workerd", "worker", "browser"],
      external: ["cloudflare:*", "node:*"],
      logLevel: "silent",
    });
    return (outputFiles[0] as { text: string }).text;
  } finally {
    // Otherwise esbuild's process would stay for the life of this one, with 60 MB. A build that it has not finished would never end.
    if (--bundling === 0) await stop();
  }
}
