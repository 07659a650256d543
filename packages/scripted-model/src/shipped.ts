/** What ships with the package: the scenarios, and the demo's repository and messages. */
import { fileURLToPath } from "node:url";
import { loadScenario, type Scenario } from "./scenario.ts";

const scenarios = new URL("../scenarios/", import.meta.url);

/**
 * A small repository whose test fails until the agent has answered the demo's first message; copy it, then `git init`.
 */
export const demoRepository = fileURLToPath(new URL("demo-repo", scenarios));

/** The messages that the demo scenario answers, in order. */
export const demoMessages = ["Make the failing test pass.", "Run the tests.", "What did you change?"] as const;

export type ShippedScenario = "demo" | "failures" | "long-tool" | "subagent";

/** Loads one of the scenarios under `scenarios/`. */
export function loadShippedScenario(name: ShippedScenario): Promise<Scenario> {
  return loadScenario(fileURLToPath(new URL(`${name}.yaml`, scenarios)));
}
