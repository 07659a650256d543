/** The model and the backend in use. The settings of a running host take precedence over those of this shell. */
import { type EnvironmentRecord, hostOf, readTracingConfig } from "@valet/shared/tracing";
import { type Finding, SHELL } from "./check-telemetry.ts";
import { chooseModel } from "./system/model.ts";
import type { Uses } from "./system/state.ts";
import { invalidVariable } from "./system/worker-variables.ts";

const HOST = "the running host";

const SCRIPTED = "scripted (set VALET_MODEL_BASE_URL and VALET_MODEL, or ANTHROPIC_API_KEY, for a real model)";

type KnownUses = Uses | null | undefined;

/** @param uses settings of the running host; `undefined` when none runs, `null` when it does not report them */
export function checkModel(env: EnvironmentRecord, uses: KnownUses): Finding {
  const name = "model";
  const shell = modelOfShell(env);
  const { state, detail: ofShell } = shell;
  if (uses === undefined) return { name, state, detail: ofShell, source: SHELL };
  if (uses === null) {
    const detail = `the running host, of an earlier version, does not report its model; this shell's: ${ofShell}`;
    return { name, state: "note", detail, source: SHELL };
  }
  const { isScripted } = uses.model;
  const inUse = isScripted ? "scripted" : uses.model.name;
  const other = shell.model === inUse ? "" : `; a host started from this shell would use: ${ofShell}`;
  return { name, state: isScripted ? "note" : "ok", detail: inUse + other, source: HOST };
}

/** Returns a finding when `up` would refuse one of this shell's variables. */
export function checkVariables(env: EnvironmentRecord, uses: KnownUses): Finding[] {
  const invalid = invalidVariable(env);
  if (invalid === undefined) return [];
  const state = uses === undefined ? "missing" : "note";
  return [{ name: "Worker's variables", state, detail: `\`valet up\` would refuse ${invalid}`, source: SHELL }];
}

/** Returns a finding when the running host exports to another backend than the one that this shell names. */
export function compareBackend(env: EnvironmentRecord, uses: KnownUses): Finding[] {
  if (uses === undefined || uses === null) return [];
  const { endpoint } = readTracingConfig(env);
  const named = endpoint === undefined ? null : hostOf(endpoint);
  if (named === uses.backend) return [];
  const inUse = uses.backend === null ? "spans stay in Valet" : `spans go to ${uses.backend}`;
  const detail = `${inUse}; \`backend\` checks this shell's setting: ${named ?? "none"}`;
  return [{ name: "backend in use", state: "note", detail, source: HOST }];
}

/** Returns the model that `up` would use if it were started from this shell. */
function modelOfShell(env: EnvironmentRecord): Pick<Finding, "state" | "detail"> & { readonly model?: string } {
  try {
    const model = chooseModel(env)?.VALET_MODEL;
    if (model === undefined) return { model: "scripted", state: "note", detail: SCRIPTED };
    return { model, state: "ok", detail: env.VALET_MODEL_BASE_URL ? `${model} at VALET_MODEL_BASE_URL` : model };
  } catch (error) {
    return { state: "missing", detail: (error as Error).message };
  }
}
