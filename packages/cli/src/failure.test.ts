/** How errors end the program: for people, and for scripts. */
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { expect, test } from "vitest";

const BIN = resolve(import.meta.dirname, "bin.ts");
const run = (...args: string[]) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [BIN, ...args], { encoding: "utf8" });
  return { status, stdout, stderr };
};

test.each([["statu"], ["statu", "--help"], ["--help", "statu"], ["-h", "statu"], ["help", "statu"]])(
  "%s %s is an error that names the nearest command",
  (...args) => {
    const { status, stdout, stderr } = run(...args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toMatch(/unknown command 'statu'[\s\S]*Did you mean (?:one of )?.*status/);
  },
);

test("with --json an error is one document on standard output", () => {
  for (const args of [
    ["status", "--bogus"],
    ["abort", "ses_1", "--state", "/nonexistent"],
    ["prompt", "--repo", "/nonexistent", "hi", "--url", "http://127.0.0.1:1", "--token", "t"],
    ["token"],
    [],
  ]) {
    const { status, stdout, stderr } = run(...args, "--json");
    expect({ status, stderr }).toEqual({ status: 2, stderr: "" });
    expect(JSON.parse(stdout)).toEqual({ error: { type: expect.any(String), message: expect.any(String) } });
  }
});

test("an input that is refused is named as it was given", () => {
  const where = ["--url", "http://127.0.0.1:1", "--token", "t"];
  const { stderr } = run("prompt", "--model", "m".repeat(201), "", ...where);
  expect(stderr).toMatch(/\n {2}<content>: must not be empty/);
  expect(stderr).toMatch(/\n {2}--model: /);
  expect(run("prompt", "--repo", "http://x.example/y", "hi", ...where).stderr).toMatch(/\n {2}--repo: /);
});

test.each([
  ["status", "ses_01j8z3k5m7n9p1q3r5s7t9v1w3"],
  ["why", "msg_01j8z3k5m7n9p1q3r5s7t9v1w3"],
])("an id before its command is an error that says the right order (%s)", (command, id) => {
  const { status, stdout, stderr } = run(id, command);
  expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
  expect(stderr).toBe(`valet: The command comes first: valet ${command} ${id}.\n`);
  expect(JSON.parse(run(id, command, "--json").stdout).error.type).toBe("usage");
});

test("an id without a command is an unknown command", () => {
  expect(run("ses_01j8z3k5m7n9p1q3r5s7t9v1w3").stderr).toContain("unknown command");
});
