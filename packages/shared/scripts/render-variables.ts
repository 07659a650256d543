import { TRACING_VARIABLE_MEANINGS } from "../src/tracing/variable-meanings.ts";
import { TRACING_VARIABLES } from "../src/tracing/variables.ts";
import {
  BROKER_VARIABLES,
  CLI_VARIABLES,
  RUNNER_VARIABLES,
  type Variable,
  WORKER_VARIABLES,
} from "../src/variables.ts";
import { code, table } from "./markdown.ts";

/** OpenTelemetry's variables as a table. */
export function renderTracingVariables(): string {
  const variables = Object.entries<string | undefined>(TRACING_VARIABLES).map(([name, otherwise]) => {
    const meaning = TRACING_VARIABLE_MEANINGS[name as keyof typeof TRACING_VARIABLES];
    return [name, { meaning, ...(otherwise !== undefined && { default: otherwise }) }];
  });
  return variableTable(Object.fromEntries(variables));
}

/** The variables of Valet's own programs, a table for each. */
export function renderVariables(): string {
  return [
    "Variables of the Worker: set them in `wrangler.jsonc` under `vars` or with `--var`, and secrets with `wrangler secret put`. `valet up` sets",
    "addresses, secrets and credential keys itself, and passes on the others. Times are in milliseconds. The keys of model providers have the names",
    "that OpenCode reads (`ANTHROPIC_API_KEY`, …). OpenTelemetry's variables are in [the specification](specs/session-tracing.md#configuration).",
    "",
    variableTable(WORKER_VARIABLES),
    "",
    "Variables of the broker; its options take precedence:",
    "",
    variableTable(BROKER_VARIABLES),
    "",
    "Variables of the `valet` commands; their options take precedence:",
    "",
    variableTable(CLI_VARIABLES),
    "",
    "Variables that the Worker and the broker set for the entrypoint of a sandbox:",
    "",
    variableTable(RUNNER_VARIABLES),
  ].join("\n");
}

function variableTable(variables: Readonly<Record<string, Variable>>): string {
  return table(
    ["variable", "default", "meaning"],
    Object.entries(variables).map(([name, { default: otherwise, required, meaning }]) => [
      code(name),
      otherwise === undefined ? (required ? "must be set" : "none") : code(String(otherwise)),
      meaning,
    ]),
  );
}
