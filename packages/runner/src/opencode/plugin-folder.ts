/**
 * Before OpenCode loads a plugin, from whatever place, it installs its own plugin package from the network into each of its
 * configuration folders, and waits for that. Ours needs none of it, and a sandbox may have no network: so the user's folder
 * says that it is installed, unless something is there already.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const LOCK = { name: "valet", lockfileVersion: 3, packages: { "": { dependencies: { "@opencode-ai/plugin": "*" } } } };

/** @param env OpenCode's environment */
export function preparePlugins(env: Readonly<Record<string, string>>): void {
  const base = env.XDG_CONFIG_HOME ?? (env.HOME === undefined ? undefined : join(env.HOME, ".config"));
  if (base === undefined) return;
  const folder = join(base, "opencode");
  const installed = ["node_modules", "package.json", "package-lock.json"].map((name) => join(folder, name));
  if (installed.some((path) => existsSync(path))) return;
  try {
    mkdirSync(join(folder, "node_modules"), { recursive: true });
    writeFileSync(join(folder, "package-lock.json"), JSON.stringify(LOCK));
  } catch {
    // A folder that cannot be written is one that OpenCode installs nothing into.
  }
}
