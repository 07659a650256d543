/** What OpenCode is started with: its configuration and its environment. */
import {
  SECRET_VARIABLES_VARIABLE,
  TOOLS_SECRET_VARIABLE,
  TOOLS_URL_VARIABLE,
  TRUST_VARIABLE,
} from "@valet/shared/protocol/child-sessions";
import {
  type ModelAccess,
  type ModelPrices,
  OWN_PROVIDER,
  PROVIDER_KEYS,
  withProvider,
} from "@valet/shared/protocol/model-access";
import { isNeverPassedOn, withoutOurs } from "../processes/environment.ts";
import { ConfigFolder } from "./config-folder.ts";
import { splitModel } from "./usage.ts";

/** Holds that endpoint's key; the configuration, which others may read back from OpenCode, refers to it by name. */
const OWN_KEY_VARIABLE = "VALET_MODEL_API_KEY";

/** An endpoint does not say how much its model takes; OpenCode must know when to compact. */
const DEFAULT_LIMIT = { context: 128_000, output: 8_000 };

export type Permission = "allow" | "ask" | "deny";

/** Where our tools inside OpenCode ask, and the plugin that they are in. */
export interface ToolAccess {
  /** `file:` URL of the plugin. */
  readonly plugin: string;
  readonly url: string;
  readonly secret: string;
}

/**
 * OpenCode's configuration. Everything is allowed unless told otherwise, since the sandbox is the boundary.
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
    permission: { "*": "allow", ...permission },
    // It calls the model beside the first turn for a title that nobody sees, and no event of the turn tells of it.
    agent: { title: { disable: true } },
    ...(tools === undefined ? {} : { plugin: [tools.plugin] }),
    ...(own === undefined ? {} : { provider: { [OWN_PROVIDER]: ownProvider(access.model, own) } }),
  };
}

function ownProvider(model: string, own: NonNullable<ModelAccess["openAiCompatible"]>) {
  const ids = [model, ...(own.models ?? [])].flatMap((ref) => {
    const { providerID, modelID } = splitModel(withProvider(ref)) ?? {};
    return providerID === OWN_PROVIDER && modelID !== undefined ? [modelID] : [];
  });
  return {
    npm: "@ai-sdk/openai-compatible",
    name: "Valet",
    options: { baseURL: own.baseUrl, ...(own.apiKey === undefined ? {} : { apiKey: `{env:${OWN_KEY_VARIABLE}}` }) },
    models: Object.fromEntries(
      ids.map((id) => [
        id,
        { name: id, tool_call: true, reasoning: true, limit: DEFAULT_LIMIT, ...costOf(own.prices) },
      ]),
    ),
  };
}

/** As OpenCode wants them. What is cached costs as much as other input, unless it has a price of its own. */
function costOf(prices: ModelPrices | undefined) {
  if (prices === undefined) return {};
  const { input, output, cacheRead = input, cacheWrite = input } = prices;
  return { cost: { input, output, cache_read: cacheRead, cache_write: cacheWrite } };
}

const OWN_VARIABLES = [
  OWN_KEY_VARIABLE,
  TOOLS_URL_VARIABLE,
  TOOLS_SECRET_VARIABLE,
  SECRET_VARIABLES_VARIABLE,
  TRUST_VARIABLE,
  "OPENCODE_SERVER_PASSWORD",
  "OPENCODE_CONFIG_CONTENT",
  ...ConfigFolder.VARIABLES,
  "OPENCODE_DISABLE_AUTOUPDATE",
  "OPENCODE_DISABLE_MODELS_FETCH",
  "OPENCODE_DISABLE_LSP_DOWNLOAD",
];

/**
 * The variables of OpenCode's environment that nothing it starts may see: keys, and what opens or configures OpenCode itself.
 * @returns their names, whether they are set or not
 */
export function secretVariables({ providerKeys }: ModelAccess): string[] {
  return [...new Set([...PROVIDER_KEYS, ...Object.keys(providerKeys), ...OWN_VARIABLES])];
}

/**
 * OpenCode's environment, which its tools' shells inherit.
 * @param inherited the runner's own
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
  }
  return {
    ...env,
    OPENCODE_SERVER_PASSWORD: own.password,
    OPENCODE_CONFIG_CONTENT: JSON.stringify(own.config),
    OPENCODE_DISABLE_AUTOUPDATE: "1",
    OPENCODE_DISABLE_MODELS_FETCH: "1",
    OPENCODE_DISABLE_LSP_DOWNLOAD: "1",
  };
}
