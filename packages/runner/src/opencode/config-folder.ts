/**
 * The folders of OpenCode's configuration. The runner creates them again at each start. OpenCode's process has the keys, so
 * nothing in a repository or in the agent's home may configure it directly; the runner writes the permitted part of the
 * repository's configuration here. OpenCode also writes into these folders, so none of them may be the repository's.
 */
import { lstatSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { copyFolder } from "../files/copy-folder.ts";
import { otherOwnerOf } from "../files/file-owner.ts";
import { OpenFolder } from "../files/open-folder.ts";
import { mcpServersOf, type ReadOptions, readRepositoryConfig, withoutPinned } from "./repository-config.ts";

/** The result of writing the repository's configuration. */
export interface WrittenConfig {
  /** Whether it contains anything from the repository that could make OpenCode fail. */
  readonly isOfRepository: boolean;
  /** The MCP servers that OpenCode is to connect to. */
  readonly mcpServers: readonly string[];
  readonly problems: readonly string[];
  /** Settings of a trusted repository that have no effect, by their keys. */
  readonly ignored: readonly string[];
}

const REPOSITORY_FOLDER = ".opencode";
/** The entries of a trusted repository's folder that are not copied: read separately, used in place, or created by OpenCode. */
const NOT_COPIED = new Set(["node_modules", ".gitignore", "opencode.json", "opencode.jsonc", "skill", "skills"]);
const AGENT_FOLDERS = ["agent", "agents", "mode", "modes"];
/** The entries that need OpenCode's plugin package, which OpenCode installs from the network. */
const NEED_PACKAGES = ["package.json", "plugin", "plugins", "tool", "tools"];
const LOCK_FILE = "package-lock.json";
const PACKAGES = ["node_modules", LOCK_FILE];
/** How much of a trusted repository's folder is copied. */
const MAX_COPIED = { maxBytes: 64 * 1024 * 1024, maxEntries: 10_000 } as const;
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

/** The names of the folders. */
const [REPOSITORY, CONFIG, HOME, EMPTY] = ["repository", "config", "home", "empty"] as const;
const EMPTY_CATALOGUE = "models.json";
/** No such file exists. */
const NO_CATALOGUE = "no-models.json";

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
      OPENCODE_MODELS_PATH: usesCatalogue ? join(this.#path, NO_CATALOGUE) : this.#emptyCatalogue,
      OPENCODE_CONFIG_DIR: this.#repository,
      OPENCODE_DISABLE_PROJECT_CONFIG: "1",
      OPENCODE_TEST_HOME: join(this.#path, HOME),
      XDG_CONFIG_HOME: join(this.#path, CONFIG),
      // Stored logins could add configuration.
      OPENCODE_AUTH_CONTENT: "{}",
      ...INSTALL_PATIENCE,
      ...GIT,
    };
  }

  /** A folder without any files, in which OpenCode can load what does not depend on the workspace. */
  get empty(): string {
    return join(this.#path, EMPTY);
  }

  get #emptyCatalogue(): string {
    return join(this.#path, EMPTY_CATALOGUE);
  }

  get #repository(): string {
    return join(this.#path, REPOSITORY);
  }

  /** Creates the folders, without any of the repository's configuration. @throws errors of the file system */
  clear(): void {
    mkdirSync(this.#path, { recursive: true });
    // A trusted repository's agent can change all of them, also while the runner writes.
    OpenFolder.use({ root: this.#path, names: [] }, (folder) => {
      for (const name of [CONFIG, HOME, EMPTY, NO_CATALOGUE]) folder.remove(name);
      for (const name of [HOME, EMPTY]) folder.within(name, () => {});
      folder.replace(EMPTY_CATALOGUE, "{}");
      folder.within(CONFIG, (config) => config.within("opencode", pretendInstalled));
      if (folder.stat(REPOSITORY)?.isDirectory() !== true) folder.remove(REPOSITORY);
      folder.within(REPOSITORY, (repository) => {
        for (const { name } of repository.entries()) if (!PACKAGES.includes(name)) repository.remove(name);
        pretendInstalled(repository);
      });
    });
  }

  /** Writes the permitted part of the repository's configuration, after the repository's setup. Never throws. */
  write(options: ReadOptions): WrittenConfig {
    const problems: string[] = [];
    let isOfRepository = false;
    let mcpServers: readonly string[] = [];
    const ignored = new Set<string>();
    try {
      this.clear();
      const { settings, files, unreadable, ignored: keys } = readRepositoryConfig(options);
      mcpServers = mcpServersOf(settings);
      for (const key of keys) ignored.add(key);
      problems.push(...unreadable.map((name) => `ignored the repository's ${name}, which cannot be read`));
      OpenFolder.use({ root: this.#path, names: [REPOSITORY] }, (repository) => {
        if (options.isTrusted) {
          const onIgnored = (key: string) => ignored.add(`${key} of agents`);
          isOfRepository = copyRepository(options.workspace, repository, onIgnored);
        }
        for (const [name, content] of files) writeText(repository, name.split("/"), content);
        const config = { $schema: "https://opencode.ai/config.json", ...settings };
        repository.replace("opencode.json", JSON.stringify(config));
        // OpenCode installs what a trusted repository's plugins need.
        const owner = options.isTrusted ? otherOwnerOf(options.workspace) : undefined;
        if (owner !== undefined) repository.giveAll(owner);
      });
      isOfRepository ||= files.size > 0 || Object.keys(settings).length > 2;
    } catch (error) {
      problems.push(`the repository's configuration cannot be used: ${(error as NodeJS.ErrnoException).code ?? "bug"}`);
    }
    return { isOfRepository, mcpServers, problems, ignored: [...ignored] };
  }
}

/**
 * Copies a trusted repository's own folder.
 * @param onIgnored called with a key of an agent's file that is left out
 * @returns whether there was anything to copy
 */
function copyRepository(workspace: string, to: OpenFolder, onIgnored: (key: string) => void): boolean {
  if (!isFolder(join(workspace, REPOSITORY_FOLDER))) return false;
  return OpenFolder.use({ root: workspace, names: [REPOSITORY_FOLDER] }, (from) => {
    const names = from.entries().flatMap(({ name }) => (NOT_COPIED.has(name) ? [] : name));
    if (names.some((name) => NEED_PACKAGES.includes(name))) mayInstall(to);
    copyFolder(from, to, {
      ...MAX_COPIED,
      isCopied: (name, path) => name !== "node_modules" && (path.length > 0 || names.includes(name)),
      change: ([folder = "", ...rest], content) =>
        AGENT_FOLDERS.includes(folder) && rest.at(-1)?.endsWith(".md")
          ? withoutPinned(content.toString("utf8"), onIgnored)
          : content,
    });
    return names.length > 0;
  });
}

/** @param path the names of the folders, and of the file */
function writeText(folder: OpenFolder, [name = "", ...rest]: readonly string[], content: string): void {
  if (rest.length === 0) folder.replace(name, content);
  else folder.within(name, (inner) => writeText(inner, rest, content));
}

/** Lets OpenCode install its package. Keeps a real installation for the next start. */
function mayInstall(folder: OpenFolder): void {
  if (isPretended(folder)) for (const name of PACKAGES) folder.remove(name);
}

/** @param folder where OpenCode also wants a list of what git must ignore, and cannot write it behind a wall */
function pretendInstalled(folder: OpenFolder): void {
  // What a trusted repository's agent has left may be a link to any file of the machine.
  for (const name of [...PACKAGES, ".gitignore"]) if (folder.stat(name)?.isSymbolicLink()) folder.removeFile(name);
  if (folder.stat(".gitignore") === undefined) folder.create(".gitignore", "*\n");
  if (folder.stat(LOCK_FILE) !== undefined) return;
  folder.within("node_modules", () => {});
  folder.create(LOCK_FILE, JSON.stringify(LOCK));
}

function isPretended(folder: OpenFolder): boolean {
  const pretended = JSON.stringify(LOCK);
  const size = folder.stat(LOCK_FILE)?.size;
  if (size === undefined) return true;
  return size === pretended.length && folder.read(LOCK_FILE, size).toString("utf8") === pretended;
}

/** Returns whether there is a folder, as opposed to a link to one. */
function isFolder(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
