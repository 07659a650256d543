import { defineConfig } from "vitest/config";

// Run by Bun, which is what the runner runs in: Vitest's workers there are threads.
export default defineConfig({
  test: {
    name: "runner",
    include: ["src/**/*.test.ts"],
    pool: "threads",
    testTimeout: 60_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 20_000 } },
  },
});
