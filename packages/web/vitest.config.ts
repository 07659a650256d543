import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    name: "web",
    testTimeout: 60_000,
    hookTimeout: 60_000,
    include: ["src/**/*.test.ts", "scripts/**/*.test.ts"],
    isolate: false,
  },
});
