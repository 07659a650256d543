/** Bundles the real runner, from a copy of its packages that the tests may change. */
import { execFile } from "node:child_process";
import {
  appendFileSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { BUN, BUN_FLAGS, RUNNER_PACKAGE } from "./programs.ts";
import { runnerProgram } from "./runner-bundle.ts";

const PACKAGES = dirname(RUNNER_PACKAGE);

/** Returns the runner's package in a copy. */
function copyPackages(): string {
  const root = mkdtempSync(join(tmpdir(), "valet-bundle-"));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const parts = ["runner/src", "runner/scripts", "shared/src", "opencode-plugin/src"];
  for (const part of parts) cpSync(join(PACKAGES, part), join(root, "packages", part), { recursive: true });
  for (const name of ["runner", "shared", "opencode-plugin"]) {
    cpSync(join(PACKAGES, name, "package.json"), join(root, "packages", name, "package.json"));
    symlinkSync(join(PACKAGES, name, "node_modules"), join(root, "packages", name, "node_modules"));
  }
  for (const name of ["tsconfig.base.json", "pnpm-lock.yaml"]) cpSync(join(PACKAGES, "..", name), join(root, name));
  return join(root, "packages/runner");
}

/** Starts a runner without settings. */
async function start(program: string) {
  const env = { PATH: process.env.PATH ?? "" };
  const failed = await promisify(execFile)(BUN, [...BUN_FLAGS, program], { cwd: "/", env }).catch((error) => error);
  return { code: failed.code, stderr: failed.stderr };
}

test("the bundle starts as the sources do, and is made once", async () => {
  const runner = copyPackages();
  // Two systems that start at once.
  const [program, same] = await Promise.all([runnerProgram(runner), runnerProgram(runner)]);
  expect(program).toMatch(/\/dist\/[0-9a-f]{32}\/bin\.js$/);
  expect(same).toBe(program);
  expect(await runnerProgram(runner)).toBe(program);
  expect(readdirSync(join(runner, "dist"))).toHaveLength(1);
  expect(readdirSync(dirname(program)).sort()).toEqual([
    "bin.js",
    "bin.js.jsc",
    "plugin.js",
    "preload.js",
    "relay-process.js",
  ]);
  // What it hands to OpenCode is in the bundle, too.
  expect(readFileSync(program, "utf8")).not.toContain(runner);
  const started = await start(program);
  expect(started).toEqual(await start(join(RUNNER_PACKAGE, "src/bin.ts")));
  expect(started).toMatchObject({ code: 78, stderr: expect.stringContaining("VALET_SESSION_ID is missing") });
});

test.each([
  "runner/src/runner.ts",
  "shared/src/limits.ts",
  "opencode-plugin/src/index.ts",
  "runner/scripts/bundle.ts",
  "runner/src/receiver/proto/opentelemetry/proto/trace/v1/trace_pb.js",
  "../pnpm-lock.yaml",
])("a change of %s makes another bundle", async (file) => {
  const runner = copyPackages();
  const before = await runnerProgram(runner);
  appendFileSync(join(runner, "..", file), file.endsWith(".yaml") ? "# changed\n" : "\n// changed\n");
  const after = await runnerProgram(runner);
  expect(after).not.toBe(before);
  expect((await start(after)).code).toBe(78);
});

test("the sources run if they cannot be bundled", async () => {
  const runner = copyPackages();
  appendFileSync(join(runner, "src/runner.ts"), "\nconst = no code\n");
  expect(await runnerProgram(runner)).toBe(join(runner, "src/bin.ts"));
  expect(readdirSync(join(runner, "dist"))).toEqual([]);
});

test("the sources run if the bundle cannot be written", async () => {
  const runner = copyPackages();
  writeFileSync(join(runner, "dist"), "");
  expect(await runnerProgram(runner)).toBe(join(runner, "src/bin.ts"));
});
