import { InvalidArgumentError, Option } from "commander";

/** Parses a port number. */
export function parsePort(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new InvalidArgumentError("A port is 1 to 65535.");
  return port;
}

/** Parses an upper limit. */
export function parseLimit(text: string): number {
  const limit = Number(text);
  if (!Number.isSafeInteger(limit) || limit < 1) throw new InvalidArgumentError("A limit is a whole number above 0.");
  return limit;
}

/** Returns an option `--timeout <seconds>` whose value is in milliseconds. */
export function timeoutOption(description: string, defaultMs: number): Option {
  const option = new Option("--timeout <seconds>", description).argParser(parseSeconds);
  return option.default(defaultMs, String(defaultMs / 1000));
}

/** Parses seconds into milliseconds. */
function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (!(seconds > 0 && Number.isFinite(seconds)))
    throw new InvalidArgumentError("A timeout is a number of seconds above 0.");
  return seconds * 1000;
}
