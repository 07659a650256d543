/** What all commands share: their output, and the connection to a Valet. */
import type { Command } from "commander";
import { ApiClient } from "./api-client.ts";
import { UserError } from "./errors.ts";
import { writeLog } from "./output.ts";
import { type Connection, DEFAULT_STATE_DIR, readConnection } from "./system/state.ts";
import { visibleText } from "./visible-text.ts";

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
      "the state directory of `valet up` (VALET_STATE)",
      process.env.VALET_STATE ?? DEFAULT_STATE_DIR,
    )
    .option("--url <url>", "the URL of another Valet (VALET_URL)")
    .option("--token <token>", "the bearer token of that Valet (VALET_TOKEN)");
}

/**
 * Returns the connection to the Valet that the options name, or else to the one that runs on the state directory.
 * @throws UserError when there is none
 */
export function findConnection(options: GlobalOptions): Connection {
  const url = options.url ?? process.env.VALET_URL;
  const token = options.token ?? process.env.VALET_TOKEN;
  if (url !== undefined) {
    if (token === undefined) throw new UserError("Give that Valet's token too: --token or VALET_TOKEN.");
    if (!URL.canParse(url)) throw new UserError(`--url: ${url} is not a URL.`);
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

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Writes a line to standard error: progress, for people. */
export function report(line: string): void {
  writeLog(visibleText(line));
}
