/** The end of each command's help: what its exit codes mean, and examples. Pure. */

/** @param negative what exit code 1 means; a command without it never ends so */
export function helpEnd(negative: string | undefined, ...examples: readonly string[]): string {
  const failed = negative === undefined ? "" : ` 1 ${negative};`;
  const lines = examples.map((each) => `\n  valet ${each}`);
  return `
Exit codes: 0 success;${failed} 2 usage or environment error.

${examples.length === 1 ? "Example" : "Examples"}:${lines.join("")}`;
}

/** The session of the examples. */
export const EXAMPLE_SESSION = "ses_01j8z3k5m7n9p1q3r5s7t9v1w3";
