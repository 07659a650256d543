/**
 * The folders that OpenCode takes its configuration from: the runner's own, made anew at each start. Nothing that a repository
 * holds or that an agent left in its home configures the process that has our keys; what counts of a repository is written
 * here. OpenCode writes into such folders, so that none of them may be the repository's.
 */
import { cpSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { readRepositoryConfig, withoutPinned } from "./repository-config.ts";

export interface ConfigFolderOptions {
  readonly workspace: string;
  /** Whether all of the repository's configuration counts, its plugins included. */
  readonly isTrusted: boolean;
  /** Environment variables that hold secrets of ours. */
  readonly secretVariables: readonly string[];
}

/** What became of the repository's configuration. */
export interface WrittenConfig {
  /** Whether anything of the repository is in it that OpenCode may fail at. */
  readonly isOfRepository: boolean;
  readonly problems: readonly string[];
}

const REPOSITORY_FOLDER = ".opencode";
/** What of a trusted repository's folder is not copied: what is read otherwise, stays in its place, or is made by OpenCode. */
const NOT_COPIED = new Set(["node_modules", ".gitignore", "opencode.json", "opencode.jsonc", "skill", "skills"]);
const AGENT_FOLDERS = ["agent", "agents", "mode", "modes"];
/** What needs OpenCode's plugin package, which it installs from the network. */
const NEED_PACKAGES = ["package.json", "plugin", "plugins", "tool", "tools"];
const PACKAGES = ["node_modules", "package-lock.json"];
/**
 * Before OpenCode loads a plugin, from whatever place, it installs its own plugin package into each of its folders and waits
 * for that. Ours needs none of it, and a sandbox may have no network: with this, it is taken for installed.
 */
const LOCK = { name: "valet", lockfileVersion: 3, packages: { "": { dependencies: { "@opencode-ai/plugin": "*" } } } };

/** Of npm, with which OpenCode installs: by itself it tries for over a minute to reach a registry that is not there. */
const INSTALL_PATIENCE = { npm_config_fetch_retries: "1", npm_config_fetch_retry_mintimeout: "1000" } as const;

/**
 * For OpenCode's own git, which runs beside the keys: what an agent left in its configuration (a program to be run, a named
 * pipe) must neither run there nor hold it up. Shells do not have it.
 */
const GIT = {
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_CONFIG_COUNT: "2",
  GIT_CONFIG_KEY_0: "core.fsmonitor",
  GIT_CONFIG_VALUE_0: "false",
  GIT_CONFIG_KEY_1: "core.hooksPath",
  GIT_CONFIG_VALUE_1: "/dev/null",
} as const;

export class ConfigFolder {
  readonly #path: string;

  /** @param stateFolder the runner's */
  constructor(stateFolder: string) {
    this.#path = join(stateFolder, "opencode");
  }

  /** The variables of {@link environment}. */
  static readonly VARIABLES = [
    "OPENCODE_CONFIG_DIR",
    "OPENCODE_DISABLE_PROJECT_CONFIG",
    "OPENCODE_TEST_HOME",
    "XDG_CONFIG_HOME",
    "OPENCODE_AUTH_CONTENT",
    ...Object.keys(INSTALL_PATIENCE),
    ...Object.keys(GIT),
  ];

  /**
   * What makes OpenCode use these folders and no other. The home is that which it looks for configuration in; its data stay
   * in the user's.
   */
  environment(): Record<string, string> {
    return {
      OPENCODE_CONFIG_DIR: this.#repository,
      OPENCODE_DISABLE_PROJECT_CONFIG: "1",
      OPENCODE_TEST_HOME: join(this.#path, "home"),
      XDG_CONFIG_HOME: join(this.#path, "config"),
      // Logins that somebody left could bring configuration of their own.
      OPENCODE_AUTH_CONTENT: "{}",
      ...INSTALL_PATIENCE,
      ...GIT,
    };
  }

  get #repository(): string {
    return join(this.#path, "repository");
  }

  /** Makes the folders, without anything of a repository. @throws what the file system says */
  clear(): void {
    const user = join(this.#path, "config", "opencode");
    rmSync(join(this.#path, "config"), { recursive: true, force: true });
    rmSync(join(this.#path, "home"), { recursive: true, force: true });
    mkdirSync(join(this.#path, "home"), { recursive: true });
    mkdirSync(this.#repository, { recursive: true });
    pretendInstalled(user);
    for (const name of readdirSync(this.#repository)) {
      if (!PACKAGES.includes(name)) rmSync(join(this.#repository, name), { recursive: true, force: true });
    }
    pretendInstalled(this.#repository);
  }

  /** Writes what counts of the repository, once it is in place. Never throws. */
  write(options: ConfigFolderOptions): WrittenConfig {
    const problems: string[] = [];
    let isOfRepository = false;
    try {
      this.clear();
      const { settings, files, unreadable } = readRepositoryConfig(options);
      problems.push(...unreadable.map((name) => `${name} of the repository cannot be read and does not count`));
      if (options.isTrusted) isOfRepository = this.#copyFolder(join(options.workspace, REPOSITORY_FOLDER));
      for (const [name, content] of files) {
        mkdirSync(join(this.#repository, dirname(name)), { recursive: true });
        writeFileSync(join(this.#repository, name), content);
      }
      const config = { $schema: "https://opencode.ai/config.json", ...settings };
      writeFileSync(join(this.#repository, "opencode.json"), JSON.stringify(config));
      isOfRepository ||= files.size > 0 || Object.keys(settings).length > 2;
    } catch (error) {
      problems.push(`the repository's configuration cannot be used: ${(error as NodeJS.ErrnoException).code ?? "bug"}`);
    }
    return { isOfRepository, problems };
  }

  /** @returns whether there was anything to copy */
  #copyFolder(from: string): boolean {
    if (lstatSync(from, { throwIfNoEntry: false })?.isDirectory() !== true) return false;
    const names = readdirSync(from).filter((name) => !NOT_COPIED.has(name));
    if (names.some((name) => NEED_PACKAGES.includes(name))) this.#mayInstall();
    for (const name of names) {
      cpSync(join(from, name), join(this.#repository, name), { recursive: true, filter: isCopied });
    }
    for (const folder of AGENT_FOLDERS) pinAgents(join(this.#repository, folder));
    return names.length > 0;
  }

  /** What it has installed itself stays, for the next start. */
  #mayInstall(): void {
    const lock = join(this.#repository, "package-lock.json");
    if (!isPretended(lock)) return;
    for (const name of PACKAGES) rmSync(join(this.#repository, name), { recursive: true, force: true });
  }
}

function pretendInstalled(folder: string): void {
  const lock = join(folder, "package-lock.json");
  if (existsSync(lock)) return;
  mkdirSync(join(folder, "node_modules"), { recursive: true });
  writeFileSync(lock, JSON.stringify(LOCK));
}

function isPretended(lock: string): boolean {
  return !existsSync(lock) || readFileSync(lock, "utf8") === JSON.stringify(LOCK);
}

/** Neither pipes nor sockets, which a copy would wait for. */
function isCopied(path: string): boolean {
  const stats = lstatSync(path);
  return basename(path) !== "node_modules" && (stats.isFile() || stats.isDirectory() || stats.isSymbolicLink());
}

function pinAgents(folder: string): void {
  if (!existsSync(folder)) return;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith(".md")) continue;
    const path = join(entry.parentPath, entry.name);
    writeFileSync(path, withoutPinned(readFileSync(path, "utf8")));
  }
}
