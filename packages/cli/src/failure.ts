/** How an error ends the process: its text for people, or its JSON for scripts, and the exit code. */
import { CommanderError } from "commander";
import { printJson, report } from "./context.ts";
import { ExitCode, UserError } from "./errors.ts";
import { systemErrorText } from "./system-error.ts";

interface Failure {
  readonly type: string;
  readonly message: string;
  readonly exitCode: number;
  /** Whether the text has been printed already. */
  readonly isPrinted?: boolean;
}

/** Prints the error. With `--json` it is a document on standard output, `{"error": {"type", "message"}}`. @returns the exit code */
export function showFailure(error: unknown, isJson: boolean): number {
  const { type, message, exitCode, isPrinted = false } = failureOf(error, isJson);
  if (exitCode === ExitCode.OK) return exitCode;
  if (isJson) printJson({ error: { type, message } });
  else if (!isPrinted) report(`valet: ${message}`);
  return exitCode;
}

function failureOf(error: unknown, isJson: boolean): Failure {
  if (error instanceof CommanderError) {
    // Help and version end the command with 0. The text of other errors is printed by commander, except with --json.
    const exitCode = error.exitCode === 0 ? ExitCode.OK : ExitCode.USAGE;
    // Of a command that only has sub-commands commander prints the help, and its message is "(outputHelp)".
    const isHelp = error.code === "commander.help";
    const message = isHelp ? "No command is named. Add --help to see which there are." : error.message;
    return { type: "usage", message: message.replace(/^error: /, ""), exitCode, isPrinted: true };
  }
  if (error instanceof UserError) return error;
  const ofSystem = systemErrorText(error);
  if (ofSystem !== undefined) return { type: "environment", message: ofSystem, exitCode: ExitCode.USAGE };
  const stack = error instanceof Error && !isJson ? error.stack : String(error);
  return {
    type: "internal",
    message: `internal error: ${stack}\nPlease report it with the lines above.`,
    exitCode: ExitCode.FAILED,
  };
}
