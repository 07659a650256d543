import { readdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { loadScenario, parseScenario, ScenarioError } from "./scenario.ts";

const scenarios = fileURLToPath(new URL("../scenarios/", import.meta.url));
const files = (await readdir(scenarios)).filter((file) => file.endsWith(".yaml"));

test.each(files)("the shipped %s is valid and named after its file", async (file) => {
  const scenario = await loadScenario(scenarios + file);
  expect(`${scenario.name}.yaml`).toBe(file);
  expect(scenario.rules.length).toBeGreaterThan(1);
});

test("reads JSON as well as YAML", () => {
  const scenario = parseScenario('{"rules": [{"name": "a", "reply": [{"text": "hi"}]}]}', "some/dir/tiny.json");
  expect(scenario).toMatchObject({ name: "tiny", models: ["scripted-1"], rules: [{ name: "a" }] });
});

describe("an invalid scenario is refused with its file and the location", () => {
  const rule = (reply: string) => `rules: [{name: a, reply: ${reply}}]`;
  test.each([
    ["no rules", "name: x", "bad.yaml: rules: "],
    ["an empty file", "", "bad.yaml: (whole file): "],
    ["not YAML", "rules: [", "bad.yaml: "],
    ["an unknown field", "rules: []\nrulez: 1", 'Unrecognized key: "rulez"'],
    [
      "a wrong type deep inside",
      rule("[{usage: {input: many, output: 1}}]"),
      "bad.yaml: rules[0].reply[0].usage.input: ",
    ],
    [
      "more cached than input tokens",
      rule("[{usage: {input: 1, cached: 2, output: 1}}]"),
      "rules[0].reply[0].usage.cached: ",
    ],
    ["an unknown step", rule("[{txt: hi}]"), "rules[0].reply[0]: a step is one of text,"],
    ["two steps in one item", rule("[{text: hi, delayMs: 3}]"), 'rules[0].reply[0]: Unrecognized key: "delayMs"'],
    ["a step after the end", rule("[cut, {text: hi}]"), "rules[0].reply[0]: nothing can follow"],
    [
      "an HTTP error after content",
      rule("[{text: hi}, {error: {status: 500}}]"),
      "rules[0].reply[1]: an HTTP error cannot",
    ],
    ["a success status as an error", rule("[{error: {status: 200}}]"), "rules[0].reply[0].error.status: "],
    ["neither reply nor turn", "rules: [{name: a}]", "rules[0]: a rule has either reply or turn"],
    ["both", "rules: [{name: a, reply: [hang], turn: [[hang]]}]", "rules[0]: a rule has either reply or turn"],
    [
      "a bad regular expression",
      'rules: [{name: a, when: {userMatches: "("}, reply: [hang]}]',
      "rules[0].when.userMatches: ",
    ],
    ["an error inside a turn", "rules: [{name: a, turn: [[hang], [{text: 1}]]}]", "rules[0].turn[1][0].text: "],
  ])("%s", (_, text, message) => {
    const parse = () => parseScenario(text, "bad.yaml");
    expect(parse).toThrow(ScenarioError);
    expect(parse).toThrow(message);
  });

  test("every error has its own line", () => {
    const text = "rules: [{name: 1, reply: [hang]}, {name: a, reply: []}]";
    expect(() => parseScenario(text, "bad.yaml")).toThrow(/rules\[0\]\.name.*\n.*rules\[1\]\.reply/su);
  });

  test("a missing file", async () => {
    await expect(loadScenario("no/such.yaml")).rejects.toThrow(/^no\/such\.yaml: ENOENT/u);
  });
});
