/** What all commands share: their output, and the connection to a Valet. */

import { visibleText } from "@valet/shared/visible-text";
import type { Command } from "commander";
import { ApiClient } from "./api-client.ts";
import { parsePath } from "./commands/arguments.ts";
import { UserError } from "./errors.ts";
import { writeLog } from "./output.ts";
import { type Paint, unpainted } from "./paint.ts";
import { findState } from "./system/find-state.ts";
import { type Connection, DEFAULT_STATE_DIR, readConnection } from "./system/state.ts";
import { terminalOf } from "./terminal.ts";
import { userFolder } from "./user-folder.ts";
import { cutLine, wrapIndented } from "./wrap.ts";

export interface GlobalOptions {
  readonly json?: boolean;
  readonly state: string;
  readonly url?: string;
  readonly token?: string;
}

/** Adds the options that every command takes, before or after the command's name. */
export function addGlobalOptions(command: Command): Command {
  return command
    .option("--json", "print one JSON document, for scripts")
    .option(
      "--state <dir>",
      "the state directory of `valet up` (VALET_STATE); found from folders within the one that has it",
      parsePath,
      process.env.VALET_STATE || findState(DEFAULT_STATE_DIR, userFolder(), process.cwd()),
    )
    .option("--url <url>", "the URL of another Valet (VALET_URL)")
    .option("--token <token>", "the bearer token of that Valet (VALET_TOKEN)");
}

/**
 * Returns the connection to the Valet that the options name, or else to the one that runs on the state directory.
 * @throws UserError when there is none
 */
export function findConnection(options: GlobalOptions): Connection {
  // An empty variable counts as not set.
  const url = options.url ?? (process.env.VALET_URL || undefined);
  const token = options.token ?? (process.env.VALET_TOKEN || undefined);
  if (url !== undefined) {
    // `localhost:8787` is a URL, too: of the scheme `localhost`.
    if (!/^https?:$/.test(URL.parse(url)?.protocol ?? "")) {
      throw new UserError(`--url: ${url} is no http or https URL, such as http://localhost:8787.`);
    }
    if (token === undefined) {
      throw new UserError(
        "Pass that Valet's token too, with --token or VALET_TOKEN. The machine that runs `valet up` needs none: there `valet token create <name>`, without --url, makes one. Of a deployment, ask whoever has one; docs/deploy.md says how the first is made.",
      );
    }
    return { url: url.replace(/\/+$/, ""), token };
  }
  const connection = readConnection(options.state);
  if (connection === undefined) {
    throw new UserError(
      `Nothing runs on ${options.state}. Start Valet with \`pnpm valet up\`, or name another one with --url.`,
    );
  }
  return { ...connection, ...(token === undefined ? {} : { token }) };
}

export function connect(options: GlobalOptions): ApiClient {
  return new ApiClient(findConnection(options));
}

/** Writes a line to standard output, which holds results only, so that scripts can read it. */
export function print(line = ""): void {
  process.stdout.write(`${visibleText(line)}\n`);
}

/** How {@link printLines} shows lines. */
export interface Shown {
  readonly paint?: Paint;
  /** What happens to a line that is longer than the terminal is wide: it goes on below, or is cut. */
  readonly tooLong?: "wrap" | "cut";
}

/** Writes lines to standard output, as its terminal can show them: fitted to its width, with colours. In a pipe they stay as they are. */
export function printLines(lines: readonly string[], { paint = unpainted, tooLong = "wrap" }: Shown = {}): void {
  const { columns, hasColour } = terminalOf(process.stdout, process.env);
  const fit = (line: string) => {
    if (columns === undefined) return [line];
    return tooLong === "cut" ? [cutLine(line, columns)] : wrapIndented(line, columns);
  };
  for (const line of lines) {
    const shown = visibleText(line).split("\n").flatMap(fit);
    for (const each of shown) process.stdout.write(`${hasColour ? paint(each) : each}\n`);
  }
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Writes a line to standard error: progress, for people. */
export function report(line: string): void {
  writeLog(visibleText(line));
}

/** Writes a line to standard error if that is a terminal: a sign of life, which a log does not need. */
export function reportToPerson(line: string): void {
  if (terminalOf(process.stderr, process.env).columns !== undefined) report(line);
}
