import { resolve } from "node:path";
import { defineConfig } from "vitest/config";

/** Tests that need more than one package, or a process of their own. */
export default defineConfig({
  root: resolve(import.meta.dirname, ".."),
  test: { name: "system", include: ["tests/**/*.test.ts"] },
});
