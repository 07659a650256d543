import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

// The trace plane, the schema, durable calls, single rooms and the courses of whole sessions are tested in an object that is
// nothing but storage; everything else in the Worker that is deployed.
const storageOnly = [
  "src/durable-objects/traces/*.test.ts",
  "src/durable-objects/**/*schema.test.ts",
  "src/durable-objects/core/{durable-call,remember,session-state}.test.ts",
  "src/durable-objects/dispatch/{attempts,attempts-end,command-once,scheduler,scheduler-waits,watchdogs}.test.ts",
  "src/durable-objects/link/{connection,link-events,runner-config}.test.ts",
  "src/durable-objects/conversation/conversation.test.ts",
  "src/durable-objects/conversation/replies.test.ts",
  "src/durable-objects/sandbox/lifecycle-events.test.ts",
  "src/durable-objects/consequences.test.ts",
  "src/durable-objects/deletion/deletion-export.test.ts",
  "src/durable-objects/notices/notice-courses.test.ts",
  "src/durable-objects/{acceptance,tracing-costs}.test.ts",
  "src/durable-objects/*.fuzz.test.ts",
];

// Sessions that share few slots, with the capacity object that leases them.
const capacityObject = ["src/durable-objects/capacity/*.test.ts"];

// The session's object, with a scripted broker behind it.
const sessionObject = ["src/durable-objects/**/*.test.ts", "src/broker/**/*.test.ts"];

/** No server ever answers: the sandboxes of these sessions go on starting. */
const variables = {
  PUBLIC_URL: "https://valet.test",
  SANDBOX_BROKER_URL: "http://broker.test",
  SANDBOX_BROKER_SECRET: "secret",
  VALET_MODEL: "valet/test",
  VALET_MODEL_BASE_URL: "http://model.test/v1",
  VALET_MODEL_API_KEY: "key-canary",
};

/** A page for the Worker to serve, whether or not the real one is built. */
const assets = { directory: fileURLToPath(new URL("test/page", import.meta.url)), binding: "ASSETS" };

/** With them, sessions may ask for models of these providers. */
const providerKeys = { ANTHROPIC_API_KEY: "key-canary", OPENAI_API_KEY: "key-canary" };

function readMigrations() {
  const names = readdirSync(new URL("migrations", import.meta.url)).sort();
  return names.map((name) => ({ name, sql: readFileSync(new URL(`migrations/${name}`, import.meta.url), "utf8") }));
}

/** In ms. Long, since a machine that runs other tests is slow. */
const timeouts = { testTimeout: 60_000, hookTimeout: 60_000 };

interface Files {
  readonly include: string[];
  readonly exclude?: string[];
  readonly testTimeout?: number;
}

/** The Worker as it is deployed, without a broker that answers. */
function workerProject(name: string, files: Files) {
  return {
    plugins: [
      cloudflareTest({
        wrangler: { configPath: "./wrangler.jsonc" },
        miniflare: {
          assets,
          bindings: { ...variables, ...providerKeys, MIGRATIONS: readMigrations() },
          // The broker never answers; repositories' hosts and the model's endpoint are away.
          outboundService: ({ url }) =>
            new URL(url).host === "broker.test"
              ? new Promise<never>(() => {})
              : Promise.resolve(new Response(null, { status: 502 })),
        },
      }),
    ],
    test: {
      name,
      ...timeouts,
      isolate: false,
      globalSetup: "./test/statements/statements.node.ts",
      setupFiles: "./test/empty.ts",
      ...files,
    },
  };
}

/** The Worker as it is deployed, with a broker whose answers a test scripts. */
function sessionProject(name: string, files: Files, capacity: Record<string, string> = {}) {
  return {
    plugins: [
      cloudflareTest(({ inject }) => ({
        wrangler: { configPath: "./wrangler.jsonc" },
        miniflare: {
          assets,
          bindings: {
            ...variables,
            SANDBOX_BROKER_URL: inject<string>("broker"),
            MIGRATIONS: readMigrations(),
            ...capacity,
          },
        },
      })),
    ],
    test: {
      name,
      ...timeouts,
      isolate: false,
      globalSetup: ["./test/broker.node.ts", "./test/statements/statements.node.ts"],
      setupFiles: ["./test/empty.ts", "./test/setup.ts"],
      ...files,
    },
  };
}

export default defineConfig({
  test: {
    // By default one core stays free, but these tests wait for workerd part of the time.
    maxWorkers: "100%",
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
        // As everywhere here, the files share a workerd. Each object is one test's; in the projects below, which have a database as well, all
        // storage is emptied before each file.
        test: { name: "worker:storage", ...timeouts, include: storageOnly, isolate: false },
      },
      workerProject("worker", {
        include: ["src/**/*.test.ts"],
        exclude: [...storageOnly, ...sessionObject],
      }),
      sessionProject("worker:session", {
        include: sessionObject,
        exclude: [...storageOnly, ...capacityObject],
      }),
      sessionProject(
        "worker:capacity",
        { include: capacityObject, testTimeout: 120_000 },
        { VALET_MAX_AWAKE: "3", VALET_MAX_STARTING: "2" },
      ),
    ],
  },
});
