import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, stop } from "esbuild";

/** The directory of the Worker's package. */
export const WORKER_DIR = join(dirname(fileURLToPath(import.meta.resolve("@valet/worker"))), "..");

/** Bundles the Worker's TypeScript into the one module that workerd loads; takes some 50 ms. */
export async function bundleWorker(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [join(WORKER_DIR, "src/index.ts")],
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
