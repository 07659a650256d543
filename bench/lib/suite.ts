import type { Table } from "./table.ts";

export type Runtime = "node" | "bun";

export interface SuiteOptions {
  readonly runtimes: readonly Runtime[];
  /** Few and short rounds, which show that everything runs but give imprecise figures. */
  readonly quick: boolean;
  /** Reports the current step. */
  readonly progress: (line: string) => void;
}

/** One benchmark: `pnpm bench <name>`. A new benchmark is a file that exports this, and a line in `main.ts`. */
export interface Suite {
  readonly name: string;
  /** What it measures, in one line. */
  readonly summary: string;
  run(options: SuiteOptions): Promise<readonly Table[]>;
}
