/** The Worker's variables in the environment of a local system. Pure. */

import { WORKER_VARIABLES } from "@valet/shared/variables";
import { ConfigError, requireConfig } from "@valet/worker/config";
import { SCRIPTED_MODEL } from "./model.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** The variables that a local system sets itself, whatever the environment says, with any valid values. */
const OWN = {
  PUBLIC_URL: "http://127.0.0.1",
  SANDBOX_BROKER_URL: "http://127.0.0.1",
  SANDBOX_BROKER_SECRET: "secret",
  VALET_CREDENTIAL_KEYS: "",
};

/** The others of the table. Those of the model are left to `setUpModel`, which may start one of its own. */
const PASSED_ON = Object.keys(WORKER_VARIABLES).filter((name) => !(name in OWN) && !name.startsWith("VALET_MODEL"));

/** Returns the variables that configure the Worker itself: telemetry, intervals, and what is allowed. */
export function workerVariables(env: Environment): Record<string, string> {
  const ours = Object.entries(env).filter(([name]) => name.startsWith("OTEL_") || PASSED_ON.includes(name));
  return Object.fromEntries(ours.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
}

/**
 * Returns what the Worker would say of the first of its variables that is invalid: the variable's name, and why, without its value.
 * A variable that this system would not use, as the price of a model that it does not have, is checked as well.
 */
export function invalidVariable(env: Environment): string | undefined {
  try {
    requireConfig({ ...env, VALET_MODEL: env.VALET_MODEL || SCRIPTED_MODEL, ...OWN });
    return undefined;
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
}
