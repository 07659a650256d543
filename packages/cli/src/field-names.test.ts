// An error about an input names it as the user of the command gave it, and keeps the API's name for the rest.
import { apiProblem } from "@valet/shared/protocol/api-problems";
import type { Command } from "commander";
import { expect, test } from "vitest";
import { ApiError } from "./api-transport.ts";
import { fieldNames } from "./field-names.ts";
import { createProgram } from "./program.ts";

const nameIn = (path: string, ...names: string[]) => {
  const find = (command: Command | undefined, name: string) => command?.commands.find((each) => each.name() === name);
  return fieldNames(names.reduce<Command | undefined>(find, createProgram()) as Command)(path);
};

test.each([
  ["repoUrl", "--repo", ["prompt"]],
  ["content", "<content>", ["prompt"]],
  ["model", "--model", ["prompt"]],
  ["queueMode", "--mode", ["prompt"]],
  ["agentOtlp", "--agent-otlp", ["prompt"]],
  ["askBefore.0", "--ask-before", ["prompt"]],
  ["q", "--search", ["sessions"]],
  ["from", "--from", ["turns"]],
  ["expiresAt", "--expires", ["token", "create"]],
  ["url", "<url>", ["webhooks", "add"]],
  ["events.1", "--events", ["webhooks", "add"]],
  ["steps.0.name", "steps.0.name", ["workflow"]],
])("%s is %s", (path, name, command) => {
  expect(nameIn(path, ...command)).toBe(name);
});

test("an error of the API can be said with other names of its fields", () => {
  const error = new ApiError(400, apiProblem("invalid-input", { errors: [{ path: "q", message: "is too long" }] }));
  expect(error.message).toMatch(/\n {2}q: is too long$/);
  expect(error.withNames(() => "--search")).toMatchObject({ status: 400, type: "invalid-input" });
  expect(error.withNames(() => "--search").message).toMatch(/\n {2}--search: is too long$/);
});
