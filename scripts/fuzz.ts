/** Runs every property in `*.fuzz.test.ts` with many more random inputs than the ordinary tests. */
import { availableParallelism } from "node:os";
import { basename, resolve } from "node:path";
import { parseArgs } from "node:util";
import { type Reporter, startVitest, type TestModule } from "vitest/node";

const DEFAULT_RUNS = 1_000_000;
const DEFAULT_COURSES = 100_000;
const HELP = `Usage: pnpm fuzz [--runs N] [--courses N]

Runs every property of @valet/shared, and of the doors of the runner, with N random inputs (default
${DEFAULT_RUNS.toLocaleString("en")}) in Node, and then the sessions of @valet/worker with N random courses (default
${DEFAULT_COURSES.toLocaleString("en")}) in workerd; 0 skips them. Exits with 0 if all properties hold. The first failure ends
the run and prints its smallest failing input and its seed.
`;

interface Arguments {
  readonly runs: number;
  readonly courses: number;
  readonly help: boolean;
}

function readArguments(): Arguments {
  const options = {
    runs: { type: "string", default: String(DEFAULT_RUNS) },
    courses: { type: "string", default: String(DEFAULT_COURSES) },
    help: { type: "boolean", short: "h", default: false },
  } as const;
  const { values } = parseArgs({ options });
  const read = (name: "runs" | "courses") => {
    const count = Number(values[name]);
    if (values[name] === "" || !Number.isSafeInteger(count) || count < 0)
      throw new TypeError(`--${name} must be a whole number of at least 0, not "${values[name]}"`);
    return count;
  };
  return { runs: read("runs"), courses: read("courses"), help: values.help };
}

/** Reports each file's progress: one line, rewritten, on a terminal; a line every ten percent elsewhere. */
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

/** Fuzzes one package. @returns whether all its properties hold */
async function fuzz(name: string, project: string, maxWorkers: number): Promise<boolean> {
  const vitest = await startVitest([".fuzz.test.ts"], {
    root: resolve(import.meta.dirname, "../packages", name),
    project,
    watch: false,
    bail: 1,
    maxWorkers,
    reporters: [progressReporter()],
  });
  await vitest.close();
  return !process.exitCode;
}

try {
  const { runs, courses, help } = readArguments();
  if (help) {
    process.stdout.write(HELP);
  } else {
    process.env.VITE_FUZZ_RUNS = String(runs);
    process.env.VITE_FUZZ_COURSES = String(courses);
    const holds = runs === 0 || (await fuzz("shared", "shared:node", availableParallelism()));
    const received = holds && (runs === 0 || (await fuzz("runner", "runner", availableParallelism())));
    if (received && courses > 0) await fuzz("worker", "worker:storage", 1);
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
