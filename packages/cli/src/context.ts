/** What every command has: where to write, and how to find the system it speaks to. */
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

/** Options that stand before or after any command. */
export function addGlobalOptions(command: Command): Command {
  return command
    .option("--json", "print one JSON document, for scripts")
    .option(
      "--state <dir>",
      "the state directory of `valet up` (VALET_STATE)",
      process.env.VALET_STATE ?? DEFAULT_STATE_DIR,
    )
    .option("--url <url>", "a Valet elsewhere (VALET_URL)")
    .option("--token <token>", "its bearer token (VALET_TOKEN)");
}

/**
 * The system to speak to: the one that is named, or else the one that runs on the state directory.
 * @throws UserError when there is none
 */
export function findConnection(options: GlobalOptions): Connection {
  const url = options.url ?? process.env.VALET_URL;
  const token = options.token ?? process.env.VALET_TOKEN;
  if (url !== undefined) {
    if (token === undefined) throw new UserError("Give the token of that Valet too: --token or VALET_TOKEN.");
    if (!URL.canParse(url)) throw new UserError(`--url: ${url} is no URL.`);
    return { url: url.replace(/\/+$/, ""), token };
  }
  const connection = readConnection(options.state);
  if (connection === undefined) {
    throw new UserError(
      `Nothing runs on ${options.state}. Start Valet with \`pnpm valet up\`, or name one with --url.`,
    );
  }
  return { ...connection, ...(token === undefined ? {} : { token }) };
}

export function connect(options: GlobalOptions): ApiClient {
  return new ApiClient(findConnection(options));
}

/** Writes a line to standard output: results, and nothing else, so that a script can read them. */
export function print(line = ""): void {
  process.stdout.write(`${visibleText(line)}\n`);
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Writes a line to standard error: what goes on, for whoever watches. */
export function report(line: string): void {
  writeLog(visibleText(line));
}
