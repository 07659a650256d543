// Runs tests: in a package its own, at the root everything, and says at the end how many passed and failed.
//
//   pnpm test                                   everything
//   pnpm --filter @valet/shared test            one package
//   pnpm --filter @valet/shared test -- FILE    one file of it
//
// A package's test script names the runtimes that its tests run in: `--runtime node --runtime bun`; Node unless named.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { parseArgs } from "node:util";

type Runtime = "node" | "bun";

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const root = join(import.meta.dirname, "..");
/** Where a run under the root's leaves its counts. */
const RESULTS = "VALET_TEST_RESULTS";

function run(command: string, args: string[], env: Record<string, string> = {}, cwd = process.cwd()): Promise<number> {
  const path = [join(root, "node_modules/.bin"), process.env.PATH].join(delimiter);
  const child = spawn(command, args, { cwd, stdio: "inherit", env: { ...process.env, ...env, PATH: path } });
  return new Promise((resolve) => {
    child.on("error", (error) => {
      console.error(`${command}: ${error.message}`);
      resolve(1);
    });
    child.on("exit", (code) => resolve(code ?? 1));
  });
}

/** Vitest on one runtime in the current folder. */
async function runVitest(runtime: Runtime, files: string[], results: string): Promise<Counts> {
  const vitest = createRequire(join(process.cwd(), "package.json")).resolve("vitest/package.json");
  const entry = join(dirname(vitest), "vitest.mjs");
  const report = join(results, `${process.pid}-${runtime}.json`);
  const command = runtime === "bun" ? ["bun", "--bun"] : [process.execPath];
  const args = [...command.slice(1), entry, "run", "--reporter=default", "--reporter=json", `--outputFile=${report}`];
  const code = await run(command[0] as string, [...args, ...files]);
  return countsOf(report, code);
}

function countsOf(report: string, code: number): Counts {
  if (!existsSync(report)) return { passed: 0, failed: 1, skipped: 0 };
  const { numPassedTests, numFailedTests, numPendingTests } = JSON.parse(readFileSync(report, "utf8"));
  // A file that cannot be loaded, or an error between tests, fails the run without failing a test.
  return { passed: numPassedTests, failed: Math.max(numFailedTests, code === 0 ? 0 : 1), skipped: numPendingTests };
}

function sum(all: Counts[]): Counts {
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const { passed, failed, skipped } of all) {
    total.passed += passed;
    total.failed += failed;
    total.skipped += skipped;
  }
  return total;
}

async function testPackage(runtimes: Runtime[], files: string[], results: string): Promise<Counts> {
  const all: Counts[] = [];
  for (const runtime of runtimes) all.push(await runVitest(runtime, files, results));
  return sum(all);
}

/** Every package by its own test script, then the tests of the whole system. */
async function testAll(results: string): Promise<Counts> {
  const env = { [RESULTS]: results };
  const code = await run("pnpm", ["--recursive", "--workspace-concurrency=1", "--no-bail", "run", "test"], env, root);
  const packages = readdirSync(results).map((name) => countsOf(join(results, name), 0));
  const system = existsSync(join(root, "tests/vitest.config.ts"))
    ? await runVitest("node", ["--config", "tests/vitest.config.ts"], mkdtempSync(join(results, "system-")))
    : sum([]);
  const total = sum([...packages, system]);
  return code !== 0 && total.failed === 0 ? { ...total, failed: 1 } : total;
}

const { values, positionals } = parseArgs({
  options: { runtime: { type: "string", multiple: true, default: ["node"] } },
  allowPositionals: true,
});
for (const runtime of values.runtime) {
  if (runtime !== "node" && runtime !== "bun") throw new Error(`--runtime ${runtime}: "node" or "bun"`);
}
const atRoot = process.cwd() === root;
if (atRoot && positionals.length > 0) {
  console.error("To run one file: pnpm --filter PACKAGE test -- FILE");
  process.exit(2);
}
const inherited = process.env[RESULTS];
const results = inherited ?? mkdtempSync(join(tmpdir(), "valet-test-"));
try {
  const total = atRoot ? await testAll(results) : await testPackage(values.runtime as Runtime[], positionals, results);
  const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : "";
  if (inherited === undefined) process.stdout.write(`\n${total.passed} passed, ${total.failed} failed${skipped}\n`);
  process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
} finally {
  if (inherited === undefined) rmSync(results, { recursive: true, force: true });
}
