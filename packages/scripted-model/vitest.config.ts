import { defineConfig } from "vitest/config";

export default defineConfig({
  test: { name: "scripted-model", testTimeout: 30_000, include: ["src/**/*.test.ts"] },
});
