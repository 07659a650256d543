/** Creates OpenCode's configuration and environment. */

import {
  HIDE_PROCESS_VARIABLE,
  PRELOAD_VARIABLE,
  REFUSALS_FILE_VARIABLE,
  SECRET_VARIABLES_VARIABLE,
  TOOLS_SECRET_VARIABLE,
  TOOLS_URL_VARIABLE,
  TRUST_VARIABLE,
} from "@valet/shared/protocol/agent-variables";
import type { AskedKind } from "@valet/shared/protocol/ask-before";
import { COMMIT_HOOKS_VARIABLE } from "@valet/shared/protocol/commit-trailers";
import {
  type ModelAccess,
  type ModelPrices,
  OWN_PROVIDER,
  PROVIDER_KEYS,
  withProvider,
} from "@valet/shared/protocol/model-access";
import { CAPTURES_CONTENT_VARIABLE } from "@valet/shared/protocol/model-request";
import { withoutUndefined } from "@valet/shared/without-undefined";
import { isNeverPassedOn, withoutOurs } from "../processes/environment.ts";
import { ConfigFolder } from "./config-folder.ts";
import { splitModel } from "./usage.ts";

/**
 * Contains the key of the deployment's own endpoint. The configuration refers to it by name, since it can be read from
 * OpenCode.
 */
const OWN_KEY_VARIABLE = "VALET_MODEL_API_KEY";

/** The password of OpenCode's HTTP API. */
export const PASSWORD_VARIABLE = "OPENCODE_SERVER_PASSWORD";

/** The assumed limits of an own endpoint's models, which report none. OpenCode needs them to know when to compact. */
const DEFAULT_LIMIT = { context: 128_000, output: 8_000 };

export type Permission = "allow" | "ask" | "deny";

/** OpenCode's permissions (1.18.33) of each kind. All tools that change files ask for `edit`. */
const PERMISSIONS_OF: Readonly<Record<AskedKind, readonly string[]>> = {
  commands: ["bash"],
  edits: ["edit"],
  web: ["webfetch", "websearch"],
};

/** Returns the settings with which OpenCode asks a person. */
export function askedPermissions(kinds: readonly AskedKind[]): Readonly<Record<string, Permission>> {
  return Object.fromEntries(kinds.flatMap((kind) => PERMISSIONS_OF[kind].map((name) => [name, "ask" as const])));
}

/** The tool server for Valet's tools in OpenCode, and the plugin that contains them. */
export interface ToolAccess {
  /** `file:` URL of the plugin. */
  readonly plugin: string;
  readonly url: string;
  readonly secret: string;
  /** The folder of the hooks that add trailers to commits; absent if they get none. */
  readonly commitHooks?: string | undefined;
  /** Whether the plugin tells what model calls send. */
  readonly capturesContent?: boolean;
}

/**
 * Returns OpenCode's configuration. By default everything is allowed, since the sandbox is the security boundary.
 * @param permission OpenCode's own setting, by tool
 */
export function openCodeConfig(
  access: ModelAccess,
  permission: Readonly<Record<string, Permission>> = {},
  tools?: Pick<ToolAccess, "plugin">,
) {
  const own = access.openAiCompatible;
  return {
    model: withProvider(access.model),
    share: "disabled",
    autoupdate: false,
    // OpenCode would copy the workspace with several git commands before and after each model call, to undo what the agent did. Nobody can
    // ask Valet for that, and the diff of a turn does not need it.
    snapshot: false,
    permission: { "*": "allow", ...permission },
    // The title agent would call the model during the first turn, for a title that nobody sees, and without an event.
    agent: { title: { disable: true } },
    ...withoutUndefined({
      plugin: tools && [tools.plugin],
      provider: own && { [OWN_PROVIDER]: ownProvider(access.model, own) },
    }),
  };
}

/** Returns the settings of a repository that this configuration replaces. What it sets of lists and objects is merged into them. */
export function overriddenSettings(access: ModelAccess): string[] {
  return Object.entries(openCodeConfig(access)).flatMap(([key, value]) => (typeof value === "object" ? [] : key));
}

function ownProvider(model: string, own: NonNullable<ModelAccess["openAiCompatible"]>) {
  const ids = [model, ...(own.models ?? [])].flatMap((ref) => {
    const { providerID, modelID } = splitModel(withProvider(ref)) ?? {};
    return providerID === OWN_PROVIDER && modelID !== undefined ? [modelID] : [];
  });
  return {
    npm: "@ai-sdk/openai-compatible",
    name: "Valet",
    options: { baseURL: own.baseUrl, ...(own.apiKey !== undefined && { apiKey: `{env:${OWN_KEY_VARIABLE}}` }) },
    models: Object.fromEntries(
      ids.map((id) => [
        id,
        { name: id, tool_call: true, reasoning: true, limit: DEFAULT_LIMIT, ...costOf(own.prices) },
      ]),
    ),
  };
}

/** Converts prices to OpenCode's format. Cached input costs as much as other input if it has no price. */
function costOf(prices: ModelPrices | undefined) {
  if (prices === undefined) return {};
  const { input, output, cacheRead = input, cacheWrite = input } = prices;
  return { cost: { input, output, cache_read: cacheRead, cache_write: cacheWrite } };
}

/** The model as OpenCode's API names it. What is no model's name even so, OpenCode refuses. */
export function openCodeModel(ref: string): { readonly providerID: string; readonly modelID: string } {
  return splitModel(withProvider(ref)) ?? { providerID: OWN_PROVIDER, modelID: ref };
}

/** Names of variables that may hold what opens a provider of OpenCode's catalogue, or say where that is. */
const CREDENTIAL = /KEY|TOKEN|SECRET|CREDENTIAL|^(?:AWS|AZURE|GOOGLE|CLOUDFLARE|VERTEX)_/;

/**
 * Returns whether OpenCode can use providers of its catalogue of thousands of models. If not, it starts without the catalogue: to
 * load that takes most of its first prompt, over a second of CPU time (1.18.33).
 * @param inherited the runner's environment
 */
export function usesCatalogue(access: ModelAccess, inherited: Readonly<Record<string, string | undefined>>): boolean {
  if (access.openAiCompatible === undefined || Object.keys(access.providerKeys).length > 0) return true;
  return Object.keys(withoutOurs(inherited)).some((name) => CREDENTIAL.test(name));
}

/** Our variables that are secrets. */
const OWN_SECRETS = [OWN_KEY_VARIABLE, TOOLS_SECRET_VARIABLE, PASSWORD_VARIABLE];

const OWN_VARIABLES = [
  ...OWN_SECRETS,
  TOOLS_URL_VARIABLE,
  SECRET_VARIABLES_VARIABLE,
  REFUSALS_FILE_VARIABLE,
  TRUST_VARIABLE,
  HIDE_PROCESS_VARIABLE,
  PRELOAD_VARIABLE,
  CAPTURES_CONTENT_VARIABLE,
  "OPENCODE_CONFIG_CONTENT",
  ...ConfigFolder.VARIABLES,
  "OPENCODE_DISABLE_AUTOUPDATE",
  "OPENCODE_DISABLE_MODELS_FETCH",
  "OPENCODE_DISABLE_LSP_DOWNLOAD",
];

/**
 * Returns the names of the variables that the agent's shells may not see, set or not: secrets, and OpenCode's own configuration.
 */
export function secretVariables(access: ModelAccess): string[] {
  return [...new Set([...keyVariables(access), ...OWN_VARIABLES])];
}

/** Returns the names of the variables that are secrets, set or not. */
function keyVariables({ providerKeys }: ModelAccess): string[] {
  return [...PROVIDER_KEYS, ...Object.keys(providerKeys), ...OWN_SECRETS];
}

/** Separates the secrets of OpenCode's environment from what every process of its user may read. */
export function splitEnvironment(
  environment: Readonly<Record<string, string>>,
  access: ModelAccess,
): { readonly open: Record<string, string>; readonly secret: Record<string, string> } {
  const names = new Set(keyVariables(access));
  const some = (isSecret: boolean) =>
    Object.fromEntries(Object.entries(environment).filter(([name]) => names.has(name) === isSecret));
  return { open: some(false), secret: some(true) };
}

/**
 * Returns OpenCode's environment, with its secrets.
 * @param inherited the runner's environment
 */
export function openCodeEnvironment(
  inherited: Readonly<Record<string, string | undefined>>,
  access: ModelAccess,
  own: { readonly password: string; readonly config: unknown; readonly tools?: ToolAccess | undefined },
): Record<string, string> {
  const env = withoutOurs(inherited);
  for (const [key, value] of Object.entries(access.providerKeys)) {
    if (!isNeverPassedOn(key) && !key.startsWith("VALET_")) env[key] = value;
  }
  if (access.openAiCompatible?.apiKey !== undefined) env[OWN_KEY_VARIABLE] = access.openAiCompatible.apiKey;
  if (own.tools !== undefined) {
    env[TOOLS_URL_VARIABLE] = own.tools.url;
    env[TOOLS_SECRET_VARIABLE] = own.tools.secret;
    if (own.tools.capturesContent) env[CAPTURES_CONTENT_VARIABLE] = "1";
    if (own.tools.commitHooks !== undefined) env[COMMIT_HOOKS_VARIABLE] = own.tools.commitHooks;
  }
  return {
    ...env,
    [PASSWORD_VARIABLE]: own.password,
    OPENCODE_CONFIG_CONTENT: JSON.stringify(own.config),
    OPENCODE_DISABLE_AUTOUPDATE: "1",
    OPENCODE_DISABLE_MODELS_FETCH: "1",
    OPENCODE_DISABLE_LSP_DOWNLOAD: "1",
  };
}
