import type { Table } from "./table.ts";

export type Runtime = "node" | "bun";

export interface SuiteOptions {
  readonly runtimes: readonly Runtime[];
  /** Few and short rounds: shows that everything runs, and figures that say little. */
  readonly quick: boolean;
  /** Says what is being done now. */
  readonly progress: (line: string) => void;
}

/** One benchmark: `pnpm bench <name>`. A further one is a file that exports this, and its line in `main.ts`. */
export interface Suite {
  readonly name: string;
  /** What it measures, in a line. */
  readonly summary: string;
  run(options: SuiteOptions): Promise<readonly Table[]>;
}
