import { defineConfig } from "vitest/config";

export default defineConfig({
  test: { name: "scripted-model", testTimeout: 120_000, include: ["src/**/*.test.ts"] },
});
