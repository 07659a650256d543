import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, stop } from "esbuild";

/** The directory of the Worker's package. */
export const WORKER_DIR = join(dirname(fileURLToPath(import.meta.resolve("@valet/worker"))), "..");

/**
 * Bundles the TypeScript of a Worker into the one module that workerd loads; takes some 50 ms.
 * @param entry the Worker's main module; Valet's own if omitted
 */
export async function bundleWorker(entry: string = join(WORKER_DIR, "src/index.ts")): Promise<string> {
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
  // Otherwise esbuild's process would stay for the life of this one, with 60 MB.
  await stop();
  return (outputFiles[0] as { text: string }).text;
}
