import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, expect, it } from "vitest";

const ROOT = resolve(import.meta.dirname, "..");
const CHECKER = join(ROOT, "node_modules/dependency-cruiser/bin/dependency-cruiser.mjs");
const OBJECT = "packages/worker/src/durable-objects";

const tree = mkdtempSync(join(tmpdir(), "valet-dependencies-"));
afterAll(() => rmSync(tree, { recursive: true }));

/** Which rules a tree of files breaks, and where; none of the files needs to mean anything. */
function check(files: Record<string, string>): string[] {
  const folder = mkdtempSync(join(tree, "tree-"));
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  const args = [CHECKER, "--config", join(ROOT, ".dependency-cruiser.mjs"), "--output-type", "json", "packages"];
  const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: "utf8" });
  expect(stderr).toBe("");
  const { summary } = JSON.parse(stdout) as { summary: { violations: { from: string; rule: { name: string } }[] } };
  return summary.violations.map(({ rule, from }) => `${rule.name} ${from}`).sort();
}

it("finds no fault with what the tables allow", () => {
  const files = {
    "packages/shared/src/outcome.ts": "export const a = 1;",
    "packages/cli/src/up.ts": 'import "../../worker/src/index.ts";',
    "packages/worker/src/index.ts": 'import "../packages/worker/src/durable-objects/session-agent.ts";',
    [`${OBJECT}/session-agent.ts`]:
      'import "../packages/worker/src/durable-objects/dispatch/scheduler.ts"; import "./core/ids.ts";',
    [`${OBJECT}/dispatch/scheduler.ts`]: 'import type { Row } from "../queue/rows.ts"; import "../core/ids.ts";',
    [`${OBJECT}/queue/rows.ts`]: 'import "../packages/shared/src/outcome.ts"; export interface Row {}',
    [`${OBJECT}/core/ids.ts`]: "export const b = 1;",
    [`${OBJECT}/core/ids.test.ts`]: 'import "../queue/rows.ts";',
  };
  expect(check(files)).toEqual([]);
});

it("finds packages that know each other, and a tracer that knows anything", () => {
  const files = {
    "packages/shared/src/outcome.ts": 'import type { A } from "../../worker/src/index.ts";',
    "packages/shared/src/tracing/span.ts":
      'import "../packages/shared/src/outcome.ts"; import "node:fs"; import "zod";',
    "packages/worker/src/index.ts": "export interface A {}",
    "packages/runner/src/bin.ts": 'import "../../worker/src/index.ts"; import "../../scripted-model/src/index.ts";',
    "packages/scripted-model/src/index.ts": 'export * from "../packages/cli/src/commands/up.ts";',
    "packages/cli/src/up.ts": "export const a = 1;",
    "packages/new/src/index.ts": 'import "node:fs";',
  };
  expect([...new Set(check(files))]).toEqual([
    "in-a-table packages/new/src/index.ts",
    "only-tests-use-the-scripted-model packages/runner/src/bin.ts",
    "package-runner packages/runner/src/bin.ts",
    "package-scripted-model packages/scripted-model/src/index.ts",
    "package-shared packages/shared/src/outcome.ts",
    "resolvable packages/shared/src/tracing/span.ts",
    "tracing-stands-alone packages/shared/src/tracing/span.ts",
  ]);
});

it("finds rooms that know what the table does not say, also by a type alone", () => {
  const files = {
    [`${OBJECT}/session-agent.ts`]: "export interface Agent {}",
    [`${OBJECT}/core/ids.ts`]: 'import type { Row } from "../queue/rows.ts";',
    [`${OBJECT}/queue/rows.ts`]: "export interface Row {}",
    [`${OBJECT}/traces/store.ts`]:
      'import type { Agent } from "../packages/worker/src/durable-objects/session-agent.ts";',
    [`${OBJECT}/projection/outbox.ts`]: 'import { query } from "../../http/route.ts";',
    [`${OBJECT}/attic/things.ts`]: 'import "../core/ids.ts";',
    "packages/worker/src/http/route.ts": 'import "../durable-objects/queue/rows.ts"; export const query = 1;',
    "packages/worker/src/cellar/things.ts": 'import "../http/route.ts";',
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

it("finds circles, also of types alone", () => {
  const files = {
    "packages/cli/src/a.ts": 'import type { B } from "./b.ts"; export interface A {}',
    "packages/cli/src/b.ts": 'import "./c.ts"; export interface B {}',
    "packages/cli/src/c.ts": 'import type { A } from "./a.ts";',
  };
  expect(check(files)).toEqual(["no-circle packages/cli/src/a.ts"]);
});
