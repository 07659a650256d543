/**
 * The folders of OpenCode's configuration. The runner creates them again at each start. OpenCode's process has the keys, so
 * nothing in a repository or in the agent's home may configure it directly; the runner writes the permitted part of the
 * repository's configuration here. OpenCode also writes into these folders, so none of them may be the repository's.
 */
import { cpSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { giveToOwnerOf } from "../processes/file-owner.ts";
import { readRepositoryConfig, withoutPinned } from "./repository-config.ts";

export interface ConfigFolderOptions {
  readonly workspace: string;
  /** Whether all of the repository's configuration applies, including plugins. */
  readonly isTrusted: boolean;
  /** The environment variables that contain Valet's secrets. */
  readonly secretVariables: readonly string[];
}

/** The result of writing the repository's configuration. */
export interface WrittenConfig {
  /** Whether it contains anything from the repository that could make OpenCode fail. */
  readonly isOfRepository: boolean;
  readonly problems: readonly string[];
}

const REPOSITORY_FOLDER = ".opencode";
/** The entries of a trusted repository's folder that are not copied: read separately, used in place, or created by OpenCode. */
const NOT_COPIED = new Set(["node_modules", ".gitignore", "opencode.json", "opencode.jsonc", "skill", "skills"]);
const AGENT_FOLDERS = ["agent", "agents", "mode", "modes"];
/** The entries that need OpenCode's plugin package, which OpenCode installs from the network. */
const NEED_PACKAGES = ["package.json", "plugin", "plugins", "tool", "tools"];
const PACKAGES = ["node_modules", "package-lock.json"];
/**
 * Before OpenCode loads any plugin, it installs its own plugin package into each of its folders and waits for that. Valet's
 * plugin does not need the package, and a sandbox may have no network. This lock file makes OpenCode assume it is installed.
 */
const LOCK = { name: "valet", lockfileVersion: 3, packages: { "": { dependencies: { "@opencode-ai/plugin": "*" } } } };

/** Settings for npm, with which OpenCode installs. By default npm tries for over a minute to reach an unavailable registry. */
const INSTALL_PATIENCE = { npm_config_fetch_retries: "1", npm_config_fetch_retry_mintimeout: "1000" } as const;

/**
 * Settings for OpenCode's own git, which runs whenever OpenCode wants, whatever the agent may do without asking a person. Programs that
 * an agent put into git's configuration must not run there, also to fetch objects that are missing, and a named pipe must not block it.
 * The agent's shells do not have these settings.
 */
const GIT = {
  GIT_ALLOW_PROTOCOL: "none",
  GIT_NO_LAZY_FETCH: "1",
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_CONFIG_COUNT: "2",
  GIT_CONFIG_KEY_0: "core.fsmonitor",
  GIT_CONFIG_VALUE_0: "false",
  GIT_CONFIG_KEY_1: "core.hooksPath",
  GIT_CONFIG_VALUE_1: "/dev/null",
} as const;

/** The name of these folders in the runner's state folder. */
export const CONFIG_FOLDER = "opencode";

export class ConfigFolder {
  readonly #path: string;

  /** @param stateFolder the runner's state folder */
  constructor(stateFolder: string) {
    this.#path = join(stateFolder, CONFIG_FOLDER);
  }

  /** The variables of {@link environment}. */
  static readonly VARIABLES = [
    "OPENCODE_CONFIG_DIR",
    "OPENCODE_DISABLE_PROJECT_CONFIG",
    "OPENCODE_TEST_HOME",
    "XDG_CONFIG_HOME",
    "OPENCODE_AUTH_CONTENT",
    "OPENCODE_MODELS_PATH",
    ...Object.keys(INSTALL_PATIENCE),
    ...Object.keys(GIT),
  ];

  /**
   * Returns the variables that make OpenCode use only these folders. The home here is only that of its configuration; its data
   * stay in the user's home.
   * @param usesCatalogue whether OpenCode knows the providers and models of its catalogue
   */
  environment(usesCatalogue = true): Record<string, string> {
    return {
      // Without such a file OpenCode uses the catalogue of its executable. By default it would read one from the agent's home first.
      OPENCODE_MODELS_PATH: usesCatalogue ? join(this.#path, "no-models.json") : this.#emptyCatalogue,
      OPENCODE_CONFIG_DIR: this.#repository,
      OPENCODE_DISABLE_PROJECT_CONFIG: "1",
      OPENCODE_TEST_HOME: join(this.#path, "home"),
      XDG_CONFIG_HOME: join(this.#path, "config"),
      // Stored logins could add configuration.
      OPENCODE_AUTH_CONTENT: "{}",
      ...INSTALL_PATIENCE,
      ...GIT,
    };
  }

  /** A folder without any files, in which OpenCode can load what does not depend on the workspace. */
  get empty(): string {
    return join(this.#path, "empty");
  }

  get #emptyCatalogue(): string {
    return join(this.#path, "models.json");
  }

  get #repository(): string {
    return join(this.#path, "repository");
  }

  /** Creates the folders, without any of the repository's configuration. @throws errors of the file system */
  clear(): void {
    const user = join(this.#path, "config", "opencode");
    rmSync(join(this.#path, "config"), { recursive: true, force: true });
    rmSync(join(this.#path, "home"), { recursive: true, force: true });
    mkdirSync(join(this.#path, "home"), { recursive: true });
    rmSync(this.empty, { recursive: true, force: true });
    mkdirSync(this.empty, { recursive: true });
    writeFileSync(this.#emptyCatalogue, "{}");
    if (!isFolder(this.#repository)) rmSync(this.#repository, { force: true });
    mkdirSync(this.#repository, { recursive: true });
    pretendInstalled(user);
    for (const name of readdirSync(this.#repository)) {
      if (!PACKAGES.includes(name)) rmSync(join(this.#repository, name), { recursive: true, force: true });
    }
    pretendInstalled(this.#repository);
  }

  /** Writes the permitted part of the repository's configuration, after the repository's setup. Never throws. */
  write(options: ConfigFolderOptions): WrittenConfig {
    const problems: string[] = [];
    let isOfRepository = false;
    try {
      this.clear();
      const { settings, files, unreadable } = readRepositoryConfig(options);
      problems.push(...unreadable.map((name) => `ignored the repository's ${name}, which cannot be read`));
      if (options.isTrusted) isOfRepository = this.#copyFolder(join(options.workspace, REPOSITORY_FOLDER));
      for (const [name, content] of files) {
        mkdirSync(join(this.#repository, dirname(name)), { recursive: true });
        writeFileSync(join(this.#repository, name), content);
      }
      const config = { $schema: "https://opencode.ai/config.json", ...settings };
      writeFileSync(join(this.#repository, "opencode.json"), JSON.stringify(config));
      // OpenCode installs what a trusted repository's plugins need.
      if (options.isTrusted) giveToOwnerOf(options.workspace, this.#repository);
      isOfRepository ||= files.size > 0 || Object.keys(settings).length > 2;
    } catch (error) {
      problems.push(`the repository's configuration cannot be used: ${(error as NodeJS.ErrnoException).code ?? "bug"}`);
    }
    return { isOfRepository, problems };
  }

  /** @returns whether it copied anything */
  #copyFolder(from: string): boolean {
    if (!isFolder(from)) return false;
    const names = readdirSync(from).filter((name) => !NOT_COPIED.has(name));
    if (names.some((name) => NEED_PACKAGES.includes(name))) this.#mayInstall();
    for (const name of names) {
      cpSync(join(from, name), join(this.#repository, name), { recursive: true, filter: isCopied });
    }
    for (const folder of AGENT_FOLDERS) pinAgents(join(this.#repository, folder));
    return names.length > 0;
  }

  /** Lets OpenCode install its package. Keeps a real installation for the next start. */
  #mayInstall(): void {
    const lock = join(this.#repository, "package-lock.json");
    if (!isPretended(lock)) return;
    for (const name of PACKAGES) rmSync(join(this.#repository, name), { recursive: true, force: true });
  }
}

/** @param folder where OpenCode also wants a list of what git must ignore, and cannot write it behind a wall */
function pretendInstalled(folder: string): void {
  const lock = join(folder, "package-lock.json");
  // What a trusted repository's agent has left may be a link to any file of the machine.
  for (const name of [...PACKAGES, ".gitignore"]) if (isLink(join(folder, name))) rmSync(join(folder, name));
  mkdirSync(folder, { recursive: true });
  if (!existsSync(join(folder, ".gitignore"))) writeFileSync(join(folder, ".gitignore"), "*\n", { flag: "wx" });
  if (existsSync(lock)) return;
  mkdirSync(join(folder, "node_modules"), { recursive: true });
  writeFileSync(lock, JSON.stringify(LOCK));
}

function isPretended(lock: string): boolean {
  return !existsSync(lock) || readFileSync(lock, "utf8") === JSON.stringify(LOCK);
}

/** Excludes pipes and sockets, on which a copy would block. */
function isCopied(path: string): boolean {
  const stats = lstatSync(path);
  return basename(path) !== "node_modules" && (stats.isFile() || stats.isDirectory() || stats.isSymbolicLink());
}

function pinAgents(folder: string): void {
  if (!isFolder(folder)) return;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith(".md")) continue;
    const path = join(entry.parentPath, entry.name);
    writeFileSync(path, withoutPinned(readFileSync(path, "utf8")));
  }
}

/** Returns whether there is a folder, as opposed to a link to one. */
function isFolder(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
}
