import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

const include = ["src/**/*.test.ts"];
/** Tests that need what only Node has: `x.node.test.ts`. */
const nodeOnly = "src/**/*.node.test.ts";

// The same files run in Node and in workerd here, and in Bun when Vitest itself is run by it: scripts/test.ts does both.
const projects =
  process.versions.bun === undefined
    ? [
        { extends: true as const, test: { name: "shared:node", include } },
        {
          extends: true as const,
          plugins: [cloudflareTest({ miniflare: { compatibilityDate: "2026-10-01" } })],
          test: { name: "shared:workerd", include, exclude: [nodeOnly] },
        },
      ]
    : [
        {
          extends: true as const,
          test: { name: "shared:bun", include, exclude: [nodeOnly], pool: "threads" as const },
        },
      ];

export default defineConfig({
  test: { globalSetup: "./test/backend.ts", testTimeout: 60_000, hookTimeout: 60_000, isolate: false, projects },
});
