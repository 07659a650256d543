import { expect, test } from "vitest";
import { readInput, readSettings, SettingsError } from "./settings.ts";

const VALID = {
  VALET_SESSION_ID: "ses_1",
  VALET_GENERATION: "1",
  VALET_RUNNER_URL: "ws://127.0.0.1:1/runner/ses_1",
  VALET_WORKSPACE: "/work",
  HOME: "/home",
};

test.each<[string, Record<string, string | undefined>]>([
  ["VALET_SESSION_ID is missing", { VALET_SESSION_ID: undefined }],
  ["VALET_GENERATION: not an integer", { VALET_GENERATION: "one" }],
  ["VALET_RUNNER_URL: not a ws or wss URL", { VALET_RUNNER_URL: "http://localhost" }],
  ["VALET_WORKSPACE: not an absolute path", { VALET_WORKSPACE: "here" }],
  ["HOME is missing", { HOME: undefined }],
  ["VALET_GENERATION is missing; HOME is missing", { VALET_GENERATION: undefined, HOME: undefined }],
])("settings that are refused name the variable: %s", (problem, change) => {
  expect(() => readSettings({ ...VALID, ...change }, "/here")).toThrow(new SettingsError(problem));
});

test("the workspace is by default the folder in which the runner was started", () => {
  expect(readSettings(VALID, "/here").workspace).toBe("/work");
  expect(readSettings({ ...VALID, VALET_WORKSPACE: undefined }, "/here").workspace).toBe("/here");
});

test.each(["secret\n", "", "{}\n"])("an input that is refused is not quoted: %j", async (line) => {
  const stream = new Blob([line]).stream();
  await expect(readInput(stream)).rejects.toThrow(new SettingsError('standard input: expected a line {"token": "…"}'));
});
