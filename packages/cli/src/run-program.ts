/** Runs a command line in this process. */
import type { Command } from "commander";
import { ApiError } from "./api-transport.ts";
import { ExitCode } from "./errors.ts";
import { showFailure } from "./failure.ts";
import { fieldNames } from "./field-names.ts";
import { createProgram, refuseIdFirst, withoutVainHelp } from "./program.ts";

/** Returns whether the arguments ask for JSON; what follows `--` is content. */
export function asksForJson(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  return args.slice(0, end < 0 ? undefined : end).includes("--json");
}

/** Runs the command that the arguments name, and prints its error. @returns the exit code */
export async function runProgram(args: readonly string[]): Promise<number> {
  const isJson = asksForJson(args);
  const program = createProgram(isJson);
  let ran: Command = program;
  program.hook("preAction", (_program, command) => {
    ran = command;
  });
  try {
    refuseIdFirst(program, args);
    await program.parseAsync(withoutVainHelp(program, args), { from: "user" });
    return Number(process.exitCode ?? ExitCode.OK);
  } catch (error) {
    return showFailure(error instanceof ApiError ? error.withNames(fieldNames(ran)) : error, isJson);
  }
}
