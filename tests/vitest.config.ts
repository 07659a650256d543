import { resolve } from "node:path";
import { defineConfig } from "vitest/config";

/** Tests that need more than one package, or a process of their own. */
export default defineConfig({
  root: resolve(import.meta.dirname, ".."),
  test: {
    name: "system",
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // What is waited for may take long on a machine that is busy.
    expect: { poll: { timeout: 30_000 } },
    include: ["tests/**/*.test.ts"],
    // By default one core stays free, but these tests wait for their processes most of the time. Each finds only its own.
    maxWorkers: "100%",
  },
});
