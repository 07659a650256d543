#!/usr/bin/env bun
/**
 * Bundles the runner, OpenCode's plugin and its preload: `bun bundle.ts FOLDER`. From one file each, the runner starts with half the CPU time
 * that its 250 modules take. The folder must be inside the runner's package, from which OpenCode is resolved.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error("usage: bundle.ts FOLDER");

/** Has neither `import.meta`, which modules with bytecode cannot use, nor `__dirname`, which Bun replaces by the sources' folder. */
const INSTALLED_FILES = `
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
export const PLUGIN = pathToFileURL(join(dirname(Bun.main), "plugin.js")).href;
export const PRELOAD = join(dirname(Bun.main), "preload.js");
export const agentFiles = () => [dirname(openCodeBinary()), dirname(Bun.main)];
export const relayProgram = () => [
  ...[process.execPath, "--no-env-file", "--config=/dev/null", "--no-install"],
  join(dirname(Bun.main), "relay-process.js"),
];
export function openCodeBinary() {
  const manifest = require.resolve("opencode-ai/package.json");
  return join(dirname(manifest), require(manifest).bin.opencode);
}
`;

await Promise.all([
  Bun.build({
    entrypoints: [join(import.meta.dirname, "../src/bin.ts")],
    outdir: folder,
    target: "bun",
    format: "cjs",
    bytecode: true,
    external: ["opencode-ai"],
    plugins: [
      {
        name: "installed files",
        setup(build) {
          build.onLoad({ filter: /\/runner\/src\/installed-files\.ts$/ }, () => ({
            contents: INSTALLED_FILES,
            loader: "js",
          }));
        },
      },
    ],
  }),
  // Small, and the same for each sandbox.
  Bun.build({
    entrypoints: [join(import.meta.dirname, "../src/wall/relay-process.ts")],
    outdir: folder,
    target: "bun",
  }),
  // Without bytecode, which only Bun of the same version can read: OpenCode has its own.
  ...[
    ["@valet/opencode-plugin", "plugin.js"],
    ["@valet/opencode-plugin/preload", "preload.js"],
  ].map(([module, naming]) =>
    Bun.build({
      entrypoints: [fileURLToPath(import.meta.resolve(module as string))],
      outdir: folder,
      naming: naming as string,
      target: "bun",
    }),
  ),
]);
