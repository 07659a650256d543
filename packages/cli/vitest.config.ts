import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    name: "cli",
    testTimeout: 60_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 20_000 } },
    include: ["src/**/*.test.ts"],
    isolate: false,
  },
});
