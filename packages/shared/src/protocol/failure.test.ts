// What a failure says: on its own it names its cause; after a sentence that has named it, it does not name it again.
import { expect, test } from "vitest";
import { ERRORS, explain } from "../spans.ts";
import { type Failure, messageAfterNames, viewFailure } from "./failure.ts";

const failure: Failure = { cause: "provider_failed", of: "openai/gpt-5" };
const happened = `E${ERRORS.model_chain_exhausted.meaning.slice(1)}.`;

test("a failure names its cause and what failed with it", () => {
  expect(viewFailure("model_chain_exhausted", failure).message).toBe(
    `${happened} The last one, openai/gpt-5, ended with \`provider_failed\`: ${explain("provider_failed")}`,
  );
});

test("after a sentence with the cause's name it explains the cause without naming it again", () => {
  expect(messageAfterNames("model_chain_exhausted", failure)).toBe(
    `${happened} The last one was openai/gpt-5. ${explain("provider_failed")}`,
  );
  expect(messageAfterNames("workflow_step_failed", { cause: "command_failed", of: "test" })).toBe(
    `A step failed. The first that failed was test. ${explain("command_failed")}`,
  );
  expect(messageAfterNames("runner_lost", { cause: "sandbox_disk_full" })).not.toContain("`sandbox_disk_full`");
  expect(messageAfterNames("git_auth_failed", null)).toBe(explain("git_auth_failed"));
});
