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
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { readResults, sum, summarise, type TestResults } from "./test-results.ts";

type Runtime = "node" | "bun";

const root = join(import.meta.dirname, "..");
/** The folder to which a run under the root's writes its results. */
const RESULTS = "VALET_TEST_RESULTS";

/** How long the output may stay open after the end of its process. */
const OUTPUT_END_MS = 5000;

interface RunOptions {
  readonly env?: Record<string, string>;
  readonly cwd?: string;
  /** Stands before each line of the output; without it the output is passed on as it is. */
  readonly prefix?: string | undefined;
}

/** Runs a command to its end. @returns its exit code; 1 if it could not be started or was killed */
function run(command: string, args: string[], { env = {}, cwd = process.cwd(), prefix }: RunOptions): Promise<number> {
  const path = [join(root, "node_modules/.bin"), process.env.PATH].join(delimiter);
  const output = prefix === undefined ? "inherit" : "pipe";
  const child = spawn(command, args, {
    cwd,
    stdio: ["inherit", output, output],
    env: { ...process.env, ...env, PATH: path },
  });
  for (const stream of [child.stdout, child.stderr]) {
    if (stream !== null) createInterface(stream).on("line", (line) => process.stdout.write(`${prefix}: ${line}\n`));
  }
  return new Promise((resolve) => {
    child.on("error", (error) => {
      console.error(`${command}: ${error.message}`);
      resolve(1);
    });
    child.on("exit", (code) => {
      // A process that it left behind may hold its output open.
      const timer = setTimeout(() => {
        child.stdout?.destroy();
        child.stderr?.destroy();
      }, OUTPUT_END_MS);
      child.on("close", () => {
        clearTimeout(timer);
        resolve(code ?? 1);
      });
    });
  });
}

/** Runs Vitest on one runtime in the current folder. */
async function runVitest(
  runtime: Runtime,
  files: string[],
  results: string,
  options: RunOptions = {},
): Promise<TestResults> {
  const vitest = createRequire(join(process.cwd(), "package.json")).resolve("vitest/package.json");
  const entry = join(dirname(vitest), "vitest.mjs");
  const report = join(results, `report-${process.pid}-${runtime}`);
  const command = runtime === "bun" ? ["bun", "--bun"] : [process.execPath];
  const args = [...command.slice(1), entry, "run", "--reporter=default", "--reporter=json", `--outputFile=${report}`];
  const code = await run(command[0] as string, [...args, ...files], options);
  return readResults(report, `${relative(root, process.cwd()) || "tests"} in ${runtime}`, code, root);
}

async function testPackage(runtimes: Runtime[], files: string[], results: string): Promise<TestResults> {
  const all: TestResults[] = [];
  for (const runtime of runtimes) all.push(await runVitest(runtime, files, results));
  return sum(all);
}

/** The packages whose tests take longest, longest first: begun at the end, they would run alone. */
const LONGEST = ["runner", "worker", "shared"];
/** While one waits for its processes, most of all the runner for OpenCode, another computes. */
const AT_A_TIME = 2;

/** Returns the names of the folders of packages that have tests, the longest first. */
function testedPackages(): string[] {
  const names = readdirSync(join(root, "packages")).filter((name) => {
    const manifest = join(root, "packages", name, "package.json");
    return existsSync(manifest) && JSON.parse(readFileSync(manifest, "utf8")).scripts?.test !== undefined;
  });
  return [...LONGEST.filter((name) => names.includes(name)), ...names.filter((name) => !LONGEST.includes(name))];
}

/** Runs a package's own test script. */
async function runPackage(name: string, results: string, env: Record<string, string>): Promise<TestResults> {
  const own = mkdtempSync(join(results, "package-"));
  const prefix = `packages/${name}`;
  const code = await run("pnpm", ["--filter", `./${prefix}`, "run", "test"], {
    env: { ...env, [RESULTS]: own },
    cwd: root,
    prefix,
  });
  const total = sum(
    readdirSync(own)
      .filter((file) => file.startsWith("total-"))
      .map((file) => JSON.parse(readFileSync(join(own, file), "utf8")) as TestResults),
  );
  if (code === 0 || total.failed > 0) return total;
  return sum([total, { ...sum([]), failed: 1, failures: [`${prefix}: its tests could not be run: see above`] }]);
}

/** Runs the tests of the whole system, which take longest, beside every package's own. A failure ends none of the others. */
async function testAll(results: string): Promise<TestResults> {
  // What one command of many tests has compiled, the next one reads.
  const env = { NODE_COMPILE_CACHE: join(results, "compiled") };
  const waiting = [
    () => runVitest("node", ["--config", "tests/vitest.config.ts"], results, { env, prefix: "tests" }),
    ...testedPackages().map((name) => () => runPackage(name, results, env)),
  ];
  const all: TestResults[] = [];
  const runNext = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) all.push(await next());
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, runNext));
  return sum(all);
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
  else writeFileSync(join(results, `total-${process.pid}`), JSON.stringify(total));
  process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
} finally {
  if (inherited === undefined) rmSync(results, { recursive: true, force: true });
}
