/** Puts every property in `*.fuzz.test.ts` of `@valet/shared` to many more random inputs than the ordinary suite does. */
import { availableParallelism } from "node:os";
import { basename, resolve } from "node:path";
import { parseArgs } from "node:util";
import { type Reporter, startVitest, type TestModule } from "vitest/node";

const DEFAULT_RUNS = 1_000_000;
const HELP = `Usage: pnpm fuzz [--runs N]

Puts every property to N random inputs (${DEFAULT_RUNS.toLocaleString("en")} unless given), in Node. Ends with 0 if all hold.
The first that does not hold ends the run: its smallest failing input and its seed are printed.
`;

function readArguments(): { runs: number; help: boolean } {
  const options = { runs: { type: "string" }, help: { type: "boolean", short: "h" } } as const;
  const { values } = parseArgs({ options });
  const runs = values.runs === undefined ? DEFAULT_RUNS : Number(values.runs);
  if (!Number.isSafeInteger(runs) || runs < 1)
    throw new TypeError(`--runs takes a whole number from 1, not "${values.runs}"`);
  return { runs, help: values.help ?? false };
}

/** How far each file is: one line, rewritten, on a terminal; a line every ten percent elsewhere. */
function progressReporter(): Reporter {
  const started = Date.now();
  const files = new Map<TestModule, { name: string; tests: number; done: number }>();
  const seconds = () => `${((Date.now() - started) / 1000).toFixed(0)} s`;
  const percent = ({ done, tests }: { done: number; tests: number }) => Math.floor((100 * done) / tests);

  return {
    onTestModuleCollected(module) {
      const name = basename(module.moduleId, ".fuzz.test.ts");
      files.set(module, { name, tests: [...module.children.allTests()].length, done: 0 });
    },
    onTestCaseResult(test) {
      const file = files.get(test.module);
      const { state, errors = [] } = test.result();
      for (const { message } of errors) {
        process.stdout.write(`\n${test.module.relativeModuleId}: ${test.fullName}\n${message}\n`);
      }
      if (file === undefined || state !== "passed") return;
      const before = percent(file);
      file.done++;
      if (process.stdout.isTTY) {
        const all = [...files.values()].map((each) => `${each.name} ${percent(each)} %`);
        process.stdout.write(`\r${all.join("  ")}  ${seconds()} `);
      } else if (Math.floor(before / 10) < Math.floor(percent(file) / 10)) {
        process.stdout.write(`${file.name} ${percent(file)} %, ${seconds()}\n`);
      }
    },
    onTestRunEnd(modules, unhandledErrors, reason) {
      for (const error of [...unhandledErrors, ...modules.flatMap((module) => module.errors())]) {
        process.stdout.write(`\n${error.stack ?? error.message}\n`);
      }
      process.stdout.write(`\n${reason === "passed" ? "All properties hold" : `The run ${reason}`}, ${seconds()}\n`);
    },
  };
}

try {
  const { runs, help } = readArguments();
  if (help) {
    process.stdout.write(HELP);
  } else {
    process.env.VITE_FUZZ_RUNS = String(runs);
    const root = resolve(import.meta.dirname, "../packages/shared");
    const vitest = await startVitest([".fuzz.test.ts"], {
      root,
      project: "shared:node",
      watch: false,
      bail: 1,
      maxWorkers: availableParallelism(),
      reporters: [progressReporter()],
    });
    await vitest.close();
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
