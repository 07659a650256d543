/** What the rules of `.dependency-cruiser.mjs` find, in small trees. `pnpm lint` applies them to this project. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { afterAll, expect, it } from "vitest";

const ROOT = resolve(import.meta.dirname, "..");
const CHECKER = join(ROOT, "node_modules/dependency-cruiser/bin/dependency-cruiser.mjs");
const OBJECT = "packages/worker/src/durable-objects";

const tree = mkdtempSync(join(tmpdir(), "valet-dependencies-"));
afterAll(() => rmSync(tree, { recursive: true }));

/** Returns the rules that the files of some folders violate, with the places. */
function violations(root: string, ...folders: string[]): string[] {
  const args = [CHECKER, "--config", join(ROOT, ".dependency-cruiser.mjs"), "--output-type", "json", ...folders];
  const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: "utf8", maxBuffer: 2 ** 26 });
  expect(stderr).toBe("");
  const { summary } = JSON.parse(stdout) as { summary: { violations: { from: string; rule: { name: string } }[] } };
  return [...new Set(summary.violations.map(({ rule, from }) => `${rule.name} ${from}`))].sort();
}

/**
 * Returns the rules that files violate by their imports, named for each file; `type` before a name imports only a type.
 */
function check(files: Record<string, string[]>): string[] {
  const folder = mkdtempSync(join(tree, "tree-"));
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  for (const [path, imported] of Object.entries(files)) {
    const imports = imported.map((each) => {
      const [, type, name = ""] = /^(type )?(.*)$/.exec(each) ?? [];
      const specifier = name.startsWith("packages/") ? `./${relative(dirname(path), name)}` : name;
      return `import ${type === undefined ? "" : "type { A } from "}"${specifier}";`;
    });
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), `${imports.join("\n")}\nexport interface A {}\n`);
  }
  return violations(folder, "packages");
}

it("finds no violation in what the tables allow", () => {
  const files = {
    "packages/shared/src/outcome.ts": [],
    "packages/cli/src/up.ts": ["packages/worker/src/index.ts"],
    "packages/worker/src/index.ts": [`${OBJECT}/session-agent.ts`],
    [`${OBJECT}/session-agent.ts`]: [`${OBJECT}/dispatch/scheduler.ts`, `${OBJECT}/core/ids.ts`],
    [`${OBJECT}/dispatch/scheduler.ts`]: [`type ${OBJECT}/queue/rows.ts`, `${OBJECT}/core/ids.ts`],
    [`${OBJECT}/queue/rows.ts`]: ["packages/shared/src/outcome.ts"],
    [`${OBJECT}/core/ids.ts`]: [],
    [`${OBJECT}/core/ids.test.ts`]: [`${OBJECT}/queue/rows.ts`],
  };
  expect(check(files)).toEqual([]);
});

it("finds imports between packages, and imports of the tracer", () => {
  const files = {
    "packages/shared/src/outcome.ts": ["type packages/worker/src/index.ts"],
    "packages/shared/src/tracing/span.ts": ["packages/shared/src/outcome.ts", "node:fs", "zod"],
    "packages/worker/src/index.ts": [],
    "packages/runner/src/bin.ts": ["packages/worker/src/index.ts", "packages/scripted-model/src/index.ts"],
    "packages/scripted-model/src/index.ts": ["packages/cli/src/up.ts"],
    "packages/cli/src/up.ts": [],
    "packages/new/src/index.ts": ["node:fs"],
  };
  expect(check(files)).toEqual([
    "in-a-table packages/new/src/index.ts",
    "only-tests-use-the-scripted-model packages/runner/src/bin.ts",
    "package-runner packages/runner/src/bin.ts",
    "package-scripted-model packages/scripted-model/src/index.ts",
    "package-shared packages/shared/src/outcome.ts",
    "resolvable packages/shared/src/tracing/span.ts",
    "tracing-stands-alone packages/shared/src/tracing/span.ts",
  ]);
});

it("finds imports between rooms that the table does not list, also of types only", () => {
  const files = {
    [`${OBJECT}/session-agent.ts`]: [],
    [`${OBJECT}/core/ids.ts`]: [`type ${OBJECT}/queue/rows.ts`],
    [`${OBJECT}/queue/rows.ts`]: [],
    [`${OBJECT}/traces/store.ts`]: [`type ${OBJECT}/session-agent.ts`],
    [`${OBJECT}/projection/outbox.ts`]: ["packages/worker/src/http/route.ts"],
    [`${OBJECT}/attic/things.ts`]: [`${OBJECT}/core/ids.ts`],
    "packages/worker/src/http/route.ts": [`${OBJECT}/queue/rows.ts`],
    "packages/worker/src/cellar/things.ts": ["packages/worker/src/http/route.ts"],
  };
  expect(check(files)).toEqual([
    "in-a-table packages/worker/src/cellar/things.ts",
    `in-a-table ${OBJECT}/attic/things.ts`,
    `room-core ${OBJECT}/core/ids.ts`,
    "room-http packages/worker/src/http/route.ts",
    `room-projection ${OBJECT}/projection/outbox.ts`,
    `room-traces ${OBJECT}/traces/store.ts`,
  ]);
});

it("finds rooms of the runner that import an agent other than by its port", () => {
  const runner = "packages/runner/src";
  const files = {
    [`${runner}/runner.ts`]: [`${runner}/jobs/job-runner.ts`, `type ${runner}/opencode/client.ts`],
    [`${runner}/opencode-agent.ts`]: [`${runner}/opencode/client.ts`, `${runner}/jobs/job-runner.ts`],
    [`${runner}/jobs/job-runner.ts`]: [`${runner}/agent/agent.ts`, `type ${runner}/opencode/client.ts`],
    [`${runner}/jobs/job-runner.test.ts`]: [`${runner}/opencode/client.ts`],
    [`${runner}/opencode/client.ts`]: [`${runner}/agent/agent.ts`],
    [`${runner}/agent/agent.ts`]: [],
    [`${runner}/attic/things.ts`]: [`${runner}/agent/agent.ts`],
  };
  expect(check(files)).toEqual([
    `agent-behind-its-port ${runner}/runner.ts`,
    `in-a-table ${runner}/attic/things.ts`,
    `runner-jobs ${runner}/jobs/job-runner.ts`,
  ]);
});

it("finds circular imports, also of types only", () => {
  const files = {
    "packages/cli/src/a.ts": ["type packages/cli/src/b.ts"],
    "packages/cli/src/b.ts": ["packages/cli/src/c.ts"],
    "packages/cli/src/c.ts": ["type packages/cli/src/a.ts"],
  };
  expect(check(files)).toEqual(["no-circle packages/cli/src/a.ts"]);
});
