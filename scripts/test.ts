// Runs tests: in a package its own, at the root all. At the end, prints the failures, the counts and the duration.
//
// - `pnpm test` runs everything
// - `pnpm --filter @valet/shared test` runs one package
// - `pnpm --filter @valet/shared test -- FILE` runs one of its files
//
// A package's test script names the runtimes of its tests: `--runtime node --runtime bun`; the default is Node.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, relative } from "node:path";
import { parseArgs } from "node:util";
import { readResults, sum, summarise, type TestResults } from "./test-results.ts";

type Runtime = "node" | "bun";

const root = join(import.meta.dirname, "..");
/** The file to which a run under the root's writes its results. */
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

/** Runs Vitest on one runtime in the current folder. */
async function runVitest(runtime: Runtime, files: string[], results: string): Promise<TestResults> {
  const vitest = createRequire(join(process.cwd(), "package.json")).resolve("vitest/package.json");
  const entry = join(dirname(vitest), "vitest.mjs");
  const report = join(results, `report-${process.pid}-${runtime}`);
  const command = runtime === "bun" ? ["bun", "--bun"] : [process.execPath];
  const args = [...command.slice(1), entry, "run", "--reporter=default", "--reporter=json", `--outputFile=${report}`];
  const code = await run(command[0] as string, [...args, ...files]);
  return readResults(report, `${relative(root, process.cwd()) || "tests"} in ${runtime}`, code, root);
}

async function testPackage(runtimes: Runtime[], files: string[], results: string): Promise<TestResults> {
  const all: TestResults[] = [];
  for (const runtime of runtimes) all.push(await runVitest(runtime, files, results));
  return sum(all);
}

/**
 * Runs every package's own test script, then the tests of the whole system. Two packages at a time: while one waits for its
 * processes, most of all the runner for OpenCode, another computes. Unsorted, since a package is tested even if one that it needs fails.
 */
async function testAll(results: string): Promise<TestResults> {
  const env = { [RESULTS]: results };
  const code = await run(
    "pnpm",
    ["--recursive", "--workspace-concurrency=2", "--no-sort", "--no-bail", "run", "test"],
    env,
    root,
  );
  const packages = readdirSync(results)
    .filter((name) => name.startsWith("package-"))
    .map((name) => JSON.parse(readFileSync(join(results, name), "utf8")) as TestResults);
  const system = existsSync(join(root, "tests/vitest.config.ts"))
    ? [await runVitest("node", ["--config", "tests/vitest.config.ts"], results)]
    : [];
  const total = sum([...packages, ...system]);
  if (code === 0 || packages.some(({ failed }) => failed > 0)) return total;
  return sum([total, { ...sum([]), failed: 1, failures: ["a package's tests could not be run: see above"] }]);
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
const startedMs = performance.now();
const inherited = process.env[RESULTS];
const results = inherited ?? mkdtempSync(join(tmpdir(), "valet-test-"));
try {
  const total = atRoot ? await testAll(results) : await testPackage(values.runtime as Runtime[], positionals, results);
  if (inherited === undefined) process.stdout.write(summarise(total, performance.now() - startedMs));
  else writeFileSync(join(results, `package-${process.pid}`), JSON.stringify(total));
  process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
} finally {
  if (inherited === undefined) rmSync(results, { recursive: true, force: true });
}
