// Compares Valet's variables in the code with the tables of variables, in both directions.
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import {
  BROKER_VARIABLES,
  CLI_VARIABLES,
  RUNNER_VARIABLES,
  WORKER_VARIABLES,
} from "../packages/shared/src/variables.ts";

const PACKAGES = resolve(import.meta.dirname, "../packages");

/** Variables that Valet's processes set for their child processes, and that users must not set. */
const INTERNAL = [
  // From the runner to the OpenCode plugin, and to processes by which the runner finds them again.
  "VALET_TOOLS_URL",
  "VALET_TOOLS_SECRET",
  "VALET_SECRET_VARIABLES",
  "VALET_REFUSALS_FILE",
  "VALET_TRUSTS_REPOSITORY",
  "VALET_CAPTURES_CONTENT",
  "VALET_HIDE_PROCESS",
  "VALET_OPENCODE_RUN",
  "VALET_WORKFLOW_STEP",
  // From the runner to the shells of the agent and of commands, for the trailers of commits.
  "VALET_COMMIT_HOOKS",
  "VALET_MESSAGE_ID",
  "VALET_TRACE_ID",
  // From `valet up` to workerd.
  "VALET_WORKERD",
  "VALET_WORKERD_LOCK",
  "VALET_WORKERD_PARENT",
  "VALET_WORKERD_STATE",
];

const TABLES = { ...WORKER_VARIABLES, ...BROKER_VARIABLES, ...RUNNER_VARIABLES, ...CLI_VARIABLES };

function named(): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const name of readdirSync(PACKAGES)) {
    for (const entry of readdirSync(join(PACKAGES, name, "src"), { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (!/\.ts$/.test(path) || /\.test\.ts$/.test(path) || path.endsWith("shared/src/variables.ts")) continue;
      for (const [variable] of readFileSync(path, "utf8").matchAll(/\bVALET_[A-Z]+(?:_[A-Z]+)*\b/g)) {
        found.set(variable, [...(found.get(variable) ?? []), path]);
      }
    }
  }
  return found;
}

test("every variable that the code names is in a table, or is set only between Valet's own processes", () => {
  const known = new Set([...Object.keys(TABLES), ...INTERNAL]);
  expect([...named()].filter(([variable]) => !known.has(variable))).toEqual([]);
});

test("every variable of a table is read by code", () => {
  const names = named();
  const ours = [...Object.keys(TABLES), ...INTERNAL].filter((variable) => variable.startsWith("VALET_"));
  expect(ours.filter((variable) => !names.has(variable))).toEqual([]);
});
