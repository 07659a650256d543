/** Which model the agents of a local system use, from the environment. */
import {
  loadShippedScenario,
  type ScriptedModel,
  type ShippedScenario,
  startScriptedModel,
} from "@valet/scripted-model";
import { OWN_PROVIDER, PROVIDER_KEYS } from "@valet/shared/protocol/runner-link";
import { UserError } from "../errors.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** The Worker's variables for the model, and what stands behind them if we started it. */
export interface ModelSetup {
  readonly variables: Readonly<Record<string, string>>;
  readonly scripted: ScriptedModel | undefined;
}

/** Models to use with a provider's key where `VALET_MODEL` names none. */
const DEFAULT_MODELS: Readonly<Record<string, string>> = {
  ANTHROPIC_API_KEY: "anthropic/claude-sonnet-4-5",
  OPENAI_API_KEY: "openai/gpt-5",
};

/**
 * The model that the environment names: an OpenAI-compatible endpoint (`VALET_MODEL_BASE_URL`, `VALET_MODEL`), or a provider that
 * OpenCode knows, by its key.
 * @returns the Worker's variables; `undefined` where nothing is set, so that a scripted model stands in
 * @throws UserError when what is set does not suffice
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
    throw new UserError("VALET_MODEL is set; set VALET_MODEL_BASE_URL, or the key of its provider, too.");
  }
  return undefined;
}

/**
 * The model that the environment names, or else a scripted one, which is started.
 * @throws UserError when what is set does not suffice
 */
export async function setUpModel(env: Environment, scenario: ShippedScenario): Promise<ModelSetup> {
  const chosen = chooseModel(env);
  if (chosen !== undefined) return { variables: chosen, scripted: undefined };
  const scripted = await startScriptedModel({ scenario: await loadShippedScenario(scenario) });
  return {
    variables: {
      VALET_MODEL: withProvider("scripted"),
      VALET_MODEL_BASE_URL: scripted.url,
      VALET_MODEL_API_KEY: "none",
    },
    scripted,
  };
}

/** Our own provider's id stands before the models of `VALET_MODEL_BASE_URL`. */
function withProvider(model: string): string {
  return model.startsWith(`${OWN_PROVIDER}/`) ? model : `${OWN_PROVIDER}/${model}`;
}

function pick(env: Environment, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.flatMap((name) => (env[name] ? [[name, env[name]]] : [])));
}
