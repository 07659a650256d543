/** Reads the results of Vitest runs: counts, and the names of failed tests. */
import { existsSync, readFileSync } from "node:fs";
import { relative } from "node:path";

export interface TestResults {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** The failures, one line each: `FILE > SUITE > TEST`. */
  readonly failures: readonly string[];
}

/** The part of Vitest's JSON report that is used. */
interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    /** Why the file as a whole failed; empty when its tests did. */
    readonly message: string;
    readonly assertionResults: readonly {
      readonly ancestorTitles: readonly string[];
      readonly title: string;
      readonly status: string;
    }[];
  }[];
}

/**
 * Reads the report of one run.
 * @param what names the run, for failures without a file
 * @param code Vitest's exit code
 * @param root file names are relative to it
 */
export function readResults(report: string, what: string, code: number, root: string): TestResults {
  if (!existsSync(report)) {
    return { ...NONE, failed: 1, failures: [`${what}: Vitest exited with code ${code} and without a report`] };
  }
  const { numPassedTests, numFailedTests, numPendingTests, testResults } = JSON.parse(
    readFileSync(report, "utf8"),
  ) as Report;
  const failures = testResults.flatMap(({ name, status, message, assertionResults }) => {
    const file = relative(root, name);
    const failed = assertionResults.filter((test) => test.status === "failed");
    if (failed.length > 0)
      return failed.map(({ ancestorTitles, title }) => [file, ...ancestorTitles, title].join(" > "));
    return status === "failed" ? [`${file}: ${message.split("\n", 1)[0]}`] : [];
  });
  // An error outside tests fails the run without a failed test or file.
  if (code !== 0 && failures.length === 0) failures.push(`${what}: exited with code ${code}, though no test failed`);
  // A file that cannot be loaded fails without a test.
  const failed = Math.max(numFailedTests, failures.length);
  return { passed: numPassedTests, failed, skipped: numPendingTests, failures };
}

const NONE: TestResults = { passed: 0, failed: 0, skipped: 0, failures: [] };

export function sum(all: readonly TestResults[]): TestResults {
  return all.reduce(
    (total, { passed, failed, skipped, failures }) => ({
      passed: total.passed + passed,
      failed: total.failed + failed,
      skipped: total.skipped + skipped,
      failures: [...total.failures, ...failures],
    }),
    NONE,
  );
}

/** Returns the end of the output: the failures, and in the last line the counts and the duration. */
export function summarise({ passed, failed, skipped, failures }: TestResults, tookMs: number): string {
  const names = failures.length === 0 ? "" : `\nFailed:\n${failures.map((name) => `  ${name}\n`).join("")}`;
  const counts = `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
  return `${names}\n${counts} in ${duration(tookMs)}\n`;
}

function duration(ms: number): string {
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
