/**
 * Where the files are that the runner hands to other processes. A bundle of the runner has another version of this module
 * (scripts/bundle.ts), since it is not where the sources are.
 */
import { realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Bun reads no settings from a folder. */
const BUN_FLAGS = ["--no-env-file", "--config=/dev/null", "--no-install"];

/** `file:` URL of the plugin that OpenCode loads. */
export const PLUGIN = import.meta.resolve("@valet/opencode-plugin");

/** Path of the file that runs in OpenCode's process before OpenCode does. */
export const PRELOAD = fileURLToPath(import.meta.resolve("@valet/opencode-plugin/preload"));

/** Returns the path of OpenCode's own executable. With a shell in between, the runner would have the shell's pid. */
export function openCodeBinary(): string {
  const require = createRequire(import.meta.url);
  const manifest = require.resolve("opencode-ai/package.json");
  const { bin } = require(manifest) as { bin: { opencode: string } };
  return join(dirname(manifest), bin.opencode);
}

/** Returns the folders that OpenCode's process reads: of its executable, of the plugin, and of what the plugin's sources import. */
export function agentFiles(): string[] {
  const plugin = join(dirname(realpathSync(fileURLToPath(PLUGIN))), "..");
  const packages = join(plugin, "..");
  return [dirname(openCodeBinary()), plugin, join(packages, "shared"), join(packages, "../node_modules")];
}

/** Returns the program of a network's relays (wall/relay-process.ts), as it is to be started. */
export function relayProgram(): [string, ...string[]] {
  return [process.execPath, ...BUN_FLAGS, fileURLToPath(import.meta.resolve("./wall/relay-process.ts"))];
}
