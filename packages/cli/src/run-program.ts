/** Runs a command line in this process. */
import { ExitCode } from "./errors.ts";
import { showFailure } from "./failure.ts";
import { createProgram, withoutVainHelp } from "./program.ts";

/** Returns whether the arguments ask for JSON; what follows `--` is content. */
export function asksForJson(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  return args.slice(0, end < 0 ? undefined : end).includes("--json");
}

/** Runs the command that the arguments name, and prints its error. @returns the exit code */
export async function runProgram(args: readonly string[]): Promise<number> {
  const isJson = asksForJson(args);
  const program = createProgram(isJson);
  try {
    await program.parseAsync(withoutVainHelp(program, args), { from: "user" });
    return Number(process.exitCode ?? ExitCode.OK);
  } catch (error) {
    return showFailure(error, isJson);
  }
}
