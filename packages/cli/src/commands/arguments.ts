import { InvalidArgumentError, Option } from "commander";

/** A port as people type it. */
export function parsePort(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new InvalidArgumentError("A port is 1 to 65535.");
  return port;
}

/** How many of something there may be. */
export function parseLimit(text: string): number {
  const limit = Number(text);
  if (!Number.isSafeInteger(limit) || limit < 1) throw new InvalidArgumentError("A limit is a whole number above 0.");
  return limit;
}

/** An option `--timeout <seconds>`, whose value is milliseconds. */
export function timeoutOption(description: string, defaultMs: number): Option {
  const option = new Option("--timeout <seconds>", description).argParser(parseSeconds);
  return option.default(defaultMs, String(defaultMs / 1000));
}

/** Seconds as people type them, as milliseconds. */
function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (!(seconds > 0 && Number.isFinite(seconds))) throw new InvalidArgumentError("Seconds are a number above 0.");
  return seconds * 1000;
}
