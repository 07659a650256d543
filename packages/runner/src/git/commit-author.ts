/**
 * The author of the agent's commits where no configuration names one. The runner writes it into the configuration of the session's
 * repository. For all other repositories, such as submodules and those that the agent creates, it writes a file that git reads in place
 * of the system's configuration (git-config(1), GIT_CONFIG_SYSTEM). Git reads that file first, so every other setting overrides it.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { HOOKS_FOLDER } from "./commit-hooks.ts";

export const AUTHOR = { "user.name": "Valet", "user.email": "valet@localhost" };

const SYSTEM = "/etc/gitconfig";

/**
 * Writes the file into the folder of the runner that the agent reads, too.
 * @param given the file that takes the place of the system's already
 * @returns the variables for the agent and for commands
 * @throws errors of the file system
 */
export function authorVariables(stateFolder: string, given: string = SYSTEM): { readonly GIT_CONFIG_SYSTEM: string } {
  const folder = join(stateFolder, HOOKS_FOLDER);
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  const path = join(folder, "gitconfig");
  const settings = [
    "[user]",
    `name = ${AUTHOR["user.name"]}`,
    `email = ${AUTHOR["user.email"]}`,
    "[include]",
    `path = "${given.replace(/["\\]/g, "\\$&")}"`,
  ];
  rmSync(path, { recursive: true, force: true });
  // Never through a link that the agent has just put there.
  writeFileSync(path, `${settings.join("\n")}\n`, { mode: 0o644, flag: "wx" });
  return { GIT_CONFIG_SYSTEM: path };
}
