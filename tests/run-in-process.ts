/** Runs commands of the CLI in this process, as `bin.ts` does in its own, for a tenth of the CPU time. */
import { vi } from "vitest";
import { runProgram } from "../packages/cli/src/run-program.ts";
import type { CommandResult } from "./valet-up.ts";

/** Runs a command that ends by itself, and does not change the process: not `up`, `demo`, `mcp` and `watch`. */
export async function runInProcess(...args: string[]): Promise<CommandResult> {
  const written = { stdout: "", stderr: "" };
  const capture = (stream: "stdout" | "stderr") =>
    vi.spyOn(process[stream], "write").mockImplementation((text) => {
      written[stream] += typeof text === "string" ? text : Buffer.from(text).toString();
      return true;
    });
  const spies = [capture("stdout"), capture("stderr")];
  try {
    return { code: await runProgram(args), ...written };
  } finally {
    for (const spy of spies) spy.mockRestore();
    process.exitCode = undefined;
  }
}
