/** Chooses the model of a local system's agents from the environment. */
import type { ScriptedModel, ShippedScenario } from "@valet/scripted-model";
import { OWN_PROVIDER, PROVIDER_KEYS } from "@valet/shared/protocol/model-access";
import { UserError } from "../errors.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** The scripted model's name. */
const SCRIPTED = "scripted";

/** The scripted model, as the Worker knows it. */
export const SCRIPTED_MODEL = withProvider(SCRIPTED);

/** The Worker's variables for the model, and the model server if this process started one. */
export interface ModelSetup {
  readonly variables: Readonly<Record<string, string>>;
  readonly scripted: ScriptedModel | undefined;
}

/** Default models of the providers whose key is set while `VALET_MODEL` is not. */
const DEFAULT_MODELS: Readonly<Record<string, string>> = {
  ANTHROPIC_API_KEY: "anthropic/claude-sonnet-4-5",
  OPENAI_API_KEY: "openai/gpt-5",
};

/**
 * Returns the model that the environment names: an OpenAI-compatible endpoint (`VALET_MODEL_BASE_URL`, `VALET_MODEL`),
 * or a provider that OpenCode knows, by its key.
 * @returns the Worker's variables; `undefined` when nothing is set, in which case a scripted model is used
 * @throws UserError when the variables are incomplete
 */
export function chooseModel(env: Environment): Readonly<Record<string, string>> | undefined {
  const variables = pick(env, [
    "VALET_MODEL",
    "VALET_MODEL_BASE_URL",
    "VALET_MODEL_API_KEY",
    "VALET_MODEL_PRICES",
    ...PROVIDER_KEYS,
  ]);
  const keys = PROVIDER_KEYS.filter((key) => key in variables);
  if (variables.VALET_MODEL_BASE_URL !== undefined) {
    if (variables.VALET_MODEL === undefined) throw new UserError("VALET_MODEL_BASE_URL is set; set VALET_MODEL too.");
    return { ...variables, VALET_MODEL: withProvider(variables.VALET_MODEL) };
  }
  if (keys.length > 0) {
    const model = variables.VALET_MODEL ?? keys.map((key) => DEFAULT_MODELS[key]).find(Boolean);
    if (model === undefined) throw new UserError(`${keys[0]} is set; set VALET_MODEL too, as provider/model.`);
    return { ...variables, VALET_MODEL: model };
  }
  if (variables.VALET_MODEL !== undefined) {
    throw new UserError("VALET_MODEL is set; set VALET_MODEL_BASE_URL or its provider's key too.");
  }
  return undefined;
}

/**
 * Returns the model that the environment names, or else starts a scripted one.
 * @throws UserError when the variables are incomplete
 */
export async function setUpModel(env: Environment, scenario: ShippedScenario): Promise<ModelSetup> {
  const chosen = chooseModel(env);
  if (chosen !== undefined) return { variables: chosen, scripted: undefined };
  // Imported on demand: commands that only look at the settings start sooner without it.
  const { loadShippedScenario, startScriptedModel } = await import("@valet/scripted-model");
  const scripted = await startScriptedModel({
    scenario: { ...(await loadShippedScenario(scenario)), models: [SCRIPTED] },
  });
  return {
    variables: {
      VALET_MODEL: SCRIPTED_MODEL,
      VALET_MODEL_BASE_URL: scripted.url,
      VALET_MODEL_API_KEY: "none",
    },
    scripted,
  };
}

/** Prefixes a model of `VALET_MODEL_BASE_URL` with the id of Valet's own provider. */
function withProvider(model: string): string {
  return model.startsWith(`${OWN_PROVIDER}/`) ? model : `${OWN_PROVIDER}/${model}`;
}

function pick(env: Environment, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.flatMap((name) => (env[name] ? [[name, env[name]]] : [])));
}
