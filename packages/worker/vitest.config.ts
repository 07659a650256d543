import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

// The trace plane is tested in an object that is nothing but storage; everything else in the Worker that is deployed.
const tracePlane = ["src/durable-objects/trace-*.test.ts", "src/durable-objects/otlp-*.test.ts"];

export default defineConfig({
  test: {
    projects: [
      {
        plugins: [
          cloudflareTest({
            main: "./test/storage-object.ts",
            miniflare: {
              compatibilityDate: "2026-10-01",
              compatibilityFlags: ["nodejs_compat"],
              durableObjects: { STORAGE: { className: "StorageObject", useSQLite: true } },
            },
          }),
        ],
        test: { name: "worker:trace-plane", include: tracePlane },
      },
    ],
  },
});
