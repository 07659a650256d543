import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, stop } from "esbuild";

/** Where the Worker's package is: its source, its migrations. */
export const WORKER_DIR = join(dirname(fileURLToPath(import.meta.resolve("@valet/worker"))), "..");

/** The Worker as the one module that workerd loads, made from its TypeScript in some 50 ms. */
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
  // Its own process would stay for as long as ours, with 60 MB.
  await stop();
  return (outputFiles[0] as { text: string }).text;
}
