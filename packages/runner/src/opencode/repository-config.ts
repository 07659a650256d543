/**
 * Reads the permitted part of a repository's configuration of OpenCode. OpenCode itself never reads the repository's files:
 * they could make it send the keys elsewhere and run plugins with access to them, and OpenCode would write into the
 * repository. The runner reads them and writes the permitted part into OpenCode's own folder, which never overrides Valet's
 * configuration.
 *
 * If the session does not trust the repository, only text is permitted: instructions, commands and agents. If it does,
 * everything is permitted except what would send the keys elsewhere or decide the agent's permissions.
 */
import { lstatSync } from "node:fs";
import { isAbsolute, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { OWN_PROVIDER, PROVIDERS } from "@valet/shared/protocol/model-access";
import { entriesInside, isInside, readInside } from "../files/read-inside.ts";
import { instructionFiles } from "./instruction-files.ts";

type Json = Record<string, unknown>;

/** Markdown files for OpenCode's configuration folder, by their relative path. */
export type TextFiles = ReadonlyMap<string, string>;

export interface RepositoryConfig {
  /** The content of `opencode.json`. */
  readonly settings: Json;
  readonly files: TextFiles;
  /** Files that could not be read, as paths from the repository's root. */
  readonly unreadable: readonly string[];
  /** Settings of a trusted repository that have no effect, by their keys. */
  readonly ignored: readonly string[];
}

const FOLDER = ".opencode";
const CONFIG_FILES = ["opencode.json", "opencode.jsonc"];
/** The first existing file is read, as OpenCode does. */
const INSTRUCTIONS = ["AGENTS.md", "CLAUDE.md", "CONTEXT.md"];
const SKILL_FOLDERS = ["skill", "skills"];
/** The permitted fields of a text file: none about models, permissions or tools. */
const TEXT_FIELDS = {
  command: ["description", "agent", "subtask"],
  agent: ["description", "mode", "temperature", "top_p"],
} as const;
/** Checks of fields. Invalid fields are dropped, since OpenCode would otherwise reject its whole configuration. */
const IS_VALID: Readonly<Record<string, (value: unknown) => boolean>> = {
  description: (value) => typeof value === "string",
  agent: (value) => typeof value === "string",
  subtask: (value) => typeof value === "boolean",
  mode: (value) => value === "primary" || value === "subagent" || value === "all",
  temperature: (value) => typeof value === "number" && value >= 0 && value <= 2,
  top_p: (value) => typeof value === "number" && value >= 0 && value <= 1,
};
/** OpenCode's own agents, whose mode a repository cannot change. */
const BUILT_IN_AGENTS = new Set(["build", "plan", "general", "explore", "title", "summary", "compaction"]);
const TEXT_FOLDERS: Readonly<Record<string, keyof typeof TEXT_FIELDS>> = {
  command: "command",
  commands: "command",
  agent: "agent",
  agents: "agent",
};
const MAX_FILE_BYTES = 256 * 1024;
const MAX_FILES = 500;
const MAX_DEPTH = 8;
/** How many files and folders are looked at for those files, in each of the folders. */
const MAX_ENTRIES = 10_000;
/** Keys of a repository's configuration that are never permitted. For providers see {@link ownProviders}. */
const PINNED = [
  "small_model",
  "permission",
  "tools",
  "server",
  "enterprise",
  "disabled_providers",
  "enabled_providers",
];
const PINNED_OF_AGENTS = ["permission", "tools"];
/** The providers for which Valet may have keys. */
const OUR_PROVIDERS: ReadonlySet<string> = new Set([OWN_PROVIDER, ...PROVIDERS.map(({ provider }) => provider)]);

export interface ReadOptions {
  readonly workspace: string;
  /** Whether all of the repository's configuration applies, including plugins. */
  readonly isTrusted: boolean;
  /** The environment variables that contain Valet's secrets. */
  readonly secretVariables: readonly string[];
  /** The settings that Valet's configuration overrides. */
  readonly overridden: readonly string[];
}

/** Reads the permitted part of the configuration. Never throws. */
export function readRepositoryConfig(options: ReadOptions): RepositoryConfig {
  const { workspace, isTrusted } = options;
  const unreadable: string[] = [];
  const ignored = new Set<string>();
  const settings: Json = { instructions: instructionsOf(workspace), skills: { paths: skillsOf(workspace) } };
  const files = new Map(isTrusted ? [] : textFilesOf(workspace));
  for (const name of configFiles(workspace)) {
    const text = readInside(workspace, name, MAX_FILE_BYTES);
    const parsed =
      text === undefined ? undefined : parseConfig(isTrusted ? resolveVariables(text, name, options) : text);
    if (parsed === undefined) unreadable.push(name);
    else if (isTrusted) {
      for (const key of ignoredKeys(parsed, options.overridden)) ignored.add(key);
      merge(settings, trustedSettings(parsed, name, workspace));
    } else for (const [path, content] of inlineTexts(parsed)) if (!files.has(path)) files.set(path, content);
  }
  return { settings, files, unreadable, ignored: [...ignored] };
}

/** Returns the names of the MCP servers that settings enable. */
export function mcpServersOf(settings: Json): string[] {
  return Object.entries(objectOf(settings.mcp)).flatMap(([name, server]) =>
    isObject(server) && server.type !== undefined && server.enabled !== false ? [name] : [],
  );
}

function configFiles(workspace: string): string[] {
  return ["", FOLDER]
    .flatMap((folder) => CONFIG_FILES.map((name) => join(folder, name)))
    .filter((name) => lstatSync(join(workspace, name), { throwIfNoEntry: false }) !== undefined);
}

function instructionsOf(workspace: string): string[] {
  const name = INSTRUCTIONS.find((each) => readInside(workspace, each, MAX_FILE_BYTES) !== undefined);
  return name === undefined ? [] : [join(workspace, name)];
}

function skillsOf(workspace: string): string[] {
  // OpenCode reads them, behind the wall.
  return SKILL_FOLDERS.map((name) => join(FOLDER, name))
    .filter((name) => isInside(workspace, name))
    .map((name) => join(workspace, name));
}

/** Yields the repository's command and agent files, with only the permitted fields. */
function* textFilesOf(workspace: string): Generator<[string, string]> {
  let count = 0;
  for (const [folder, kind] of Object.entries(TEXT_FOLDERS)) {
    for (const path of markdownIn(workspace, join(FOLDER, folder))) {
      const text = readInside(workspace, join(FOLDER, folder, path), MAX_FILE_BYTES);
      if (text === undefined || count++ >= MAX_FILES) continue;
      const { data, body } = splitFrontMatter(text);
      yield [join(folder, path), textFile(kind, path.slice(0, -".md".length), data, body)];
    }
  }
}

/**
 * Yields the commands and agents in a configuration file. Omits those that refer to variables or files, which are not just
 * text.
 */
function* inlineTexts(config: Json): Generator<[string, string]> {
  for (const [kind, body] of [
    ["command", "template"],
    ["agent", "prompt"],
  ] as const) {
    for (const [name, each] of Object.entries(objectOf(config[kind]))) {
      const definition = objectOf(each);
      const text = definition[body];
      if (typeof text !== "string" || !/^[\w-]{1,100}$/.test(name) || /\{(?:env|file):/.test(text)) continue;
      yield [`${kind}/${name}.md`, textFile(kind, name, definition, text)];
    }
  }
}

function textFile(kind: keyof typeof TEXT_FIELDS, name: string, data: Json, body: string): string {
  const isBuiltIn = kind === "agent" && BUILT_IN_AGENTS.has(name);
  const kept = TEXT_FIELDS[kind].filter((field) => IS_VALID[field]?.(data[field]) && !(isBuiltIn && field === "mode"));
  return markdown(Object.fromEntries(kept.map((field) => [field, data[field]])), body);
}

/** Returns a Markdown file with front matter. The values are JSON, which is also YAML. */
function markdown(data: Json, body: string): string {
  const lines = Object.entries(data).map(([field, value]) => `${JSON.stringify(field)}: ${JSON.stringify(value)}\n`);
  return `---\n${lines.join("")}---\n${body}`;
}

/**
 * Returns an agent's file of a trusted repository without the keys that are never permitted.
 * @param onIgnored called with each of them
 */
export function withoutPinned(text: string, onIgnored: (key: string) => void): string {
  const { data, body } = splitFrontMatter(text);
  const pinned = PINNED_OF_AGENTS.filter((key) => key in data);
  for (const key of pinned) onIgnored(key);
  return pinned.length > 0 ? markdown(without(data, PINNED_OF_AGENTS), body) : text;
}

function splitFrontMatter(text: string): { data: Json; body: string } {
  const match = /^---\r?\n(.*?)\r?\n?---[ \t]*(?:\r?\n|$)(.*)$/s.exec(text);
  if (match === null) return { data: {}, body: text };
  try {
    return { data: objectOf(Bun.YAML.parse(match[1] as string)), body: match[2] as string };
  } catch {
    return { data: {}, body: match[2] as string };
  }
}

/** Returns the keys of a trusted repository's settings that have no effect. */
function ignoredKeys(config: Json, overridden: readonly string[]): string[] {
  const agents = ["agent", "mode"].flatMap((key) => Object.values(objectOf(config[key])).map(objectOf));
  const ofAgents = PINNED_OF_AGENTS.filter((key) => agents.some((agent) => key in agent));
  const providers = Object.keys(objectOf(config.provider)).filter((id) => OUR_PROVIDERS.has(id));
  return [
    ...[...PINNED, ...overridden].filter((key) => key in config),
    ...ofAgents.map((key) => `${key} of agents`),
    ...providers.map((id) => `provider.${id}`),
  ];
}

function trustedSettings(config: Json, name: string, workspace: string): Json {
  const kept: Json = Object.fromEntries(Object.entries(config).filter(([key]) => !PINNED.includes(key)));
  for (const key of ["agent", "mode"]) {
    if (kept[key] !== undefined)
      kept[key] = mapValues(objectOf(kept[key]), (agent) => without(agent, PINNED_OF_AGENTS));
  }
  if (kept.provider !== undefined) kept.provider = ownProviders(objectOf(kept.provider));
  const folder = join(workspace, name, "..");
  if (Array.isArray(kept.plugin)) kept.plugin = kept.plugin.map((plugin) => absolutePlugin(plugin, folder));
  if (Array.isArray(kept.instructions)) {
    kept.instructions = kept.instructions.flatMap((pattern) => absoluteInstructions(pattern, workspace));
  }
  return kept;
}

/** Returns the repository's own providers, which cannot read Valet's keys from the environment. */
function ownProviders(providers: Json): Json {
  const own = Object.entries(providers).filter(([id]) => !OUR_PROVIDERS.has(id));
  return Object.fromEntries(own.map(([id, provider]) => [id, { ...objectOf(provider), env: [] }]));
}

function absolutePlugin(plugin: unknown, folder: string): unknown {
  if (Array.isArray(plugin)) return [absolutePlugin(plugin[0], folder), ...plugin.slice(1)];
  if (typeof plugin !== "string" || !/^\.{1,2}\//.test(plugin)) return plugin;
  return pathToFileURL(resolve(folder, plugin)).href;
}

/** Returns the absolute paths of a pattern, since OpenCode resolves relative ones only in its own folder. */
function absoluteInstructions(pattern: unknown, workspace: string): unknown[] {
  if (typeof pattern !== "string") return [];
  if (isAbsolute(pattern) || pattern.startsWith("~/") || /^https?:/.test(pattern)) return [pattern];
  return instructionFiles(workspace, pattern).map((path) => join(workspace, path));
}

/** Makes paths of included files absolute, and replaces variables with Valet's secrets by nothing. */
function resolveVariables(text: string, name: string, { workspace, secretVariables }: ReadOptions): string {
  const folder = join(workspace, name, "..");
  return text
    .replace(/\{env:([^}]+)\}/g, (whole, variable: string) => (secretVariables.includes(variable) ? "" : whole))
    .replace(/\{file:(?!~\/|\/)([^}]+)\}/g, (_, path: string) => `{file:${resolve(folder, path)}}`);
}

function parseConfig(text: string): Json | undefined {
  try {
    const parsed: unknown = Bun.JSONC.parse(text);
    return typeof parsed === "object" && parsed !== null && !Array.isArray(parsed) ? (parsed as Json) : undefined;
  } catch {
    return undefined;
  }
}

/** Merges configurations: joins lists, merges objects, replaces other values. */
function merge(into: Json, from: Json): void {
  for (const [key, value] of Object.entries(from)) {
    const old = into[key];
    if (Array.isArray(old) && Array.isArray(value)) into[key] = [...new Set([...old, ...value])];
    else if (isObject(old) && isObject(value)) merge(old, value);
    else into[key] = value;
  }
}

/** Returns the paths of the Markdown files from the folder. A link to a folder is only followed at the top. */
function markdownIn(workspace: string, folder: string): string[] {
  const found: string[] = [];
  let left = MAX_ENTRIES;
  const search = (below: string, depth: number) => {
    const entries = entriesInside(workspace, join(folder, below)).sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const entry of entries) {
      if (left-- <= 0 || found.length >= MAX_FILES) return;
      const path = join(below, entry.name);
      if (entry.isDirectory() && depth < MAX_DEPTH) search(path, depth + 1);
      else if (entry.isFile() && entry.name.endsWith(".md")) found.push(path);
    }
  };
  search("", 0);
  return found;
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function objectOf(value: unknown): Json {
  return isObject(value) ? value : {};
}

function mapValues(object: Json, map: (value: Json) => Json): Json {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, map(objectOf(value))]));
}

function without(object: Json, keys: readonly string[]): Json {
  return Object.fromEntries(Object.entries(object).filter(([key]) => !keys.includes(key)));
}
