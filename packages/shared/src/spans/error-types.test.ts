// What an error's advice names: the command to give, the variable to set, the place to look at.
import { expect, test } from "vitest";
import { ERROR_TYPES, ERRORS, type ErrorType } from "./error-types.ts";

const remedies = ERROR_TYPES.flatMap((type) => {
  const { remedy } = ERRORS[type];
  return remedy === null ? [] : [[type, remedy] as const];
});

test.each<[what: string, said: RegExp, named: RegExp]>([
  ["a key", /provider's key/, /VALET_MODEL_API_KEY.*ANTHROPIC_API_KEY/],
  ["the provider's URL", /provider's URL/, /VALET_MODEL_BASE_URL/],
  ["the broker's log", /broker's log/, /`valet up` prints it/],
  ["the runner's log", /runner's log/, /entrypoint\.log/],
  ["OpenCode's log", /OpenCode's log/, /opencode\/log/],
  ["a step's output", /step's output/, /`valet export`/],
  ["credentials", /with credentials/, /--repo/],
  ["memory", /out of memory: raise/, /VALET_SANDBOX_MEMORY_BYTES/],
  ["a longer limit on time", /very large repository|more time/, /VALET_\w+_MS/],
])("advice that is about %s says which it is, or where", (_what, said, named) => {
  const about = remedies.filter(([, remedy]) => said.test(remedy));
  expect(about).not.toEqual([]);
  expect(about.filter(([, remedy]) => !named.test(remedy))).toEqual([]);
});

test.each<[ErrorType, RegExp]>([
  ["provider_auth_failed", /VALET_MODEL_API_KEY/],
  ["command_failed", /`valet export`/],
  ["stuck_turn", /`valet trace`/],
  ["workflow_step_failed", /`valet why`/],
])("the advice for %s names what to change, or the command that shows more", (type, named) => {
  expect(ERRORS[type].remedy).toMatch(named);
});
