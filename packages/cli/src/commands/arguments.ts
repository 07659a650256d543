import { limitText } from "@valet/shared/duration-text";
import { ASKED_KINDS, type AskedKind } from "@valet/shared/protocol/ask-before";
import { ISOLATIONS } from "@valet/shared/protocol/sandbox-broker";
import { type Command, InvalidArgumentError, Option } from "commander";
import { parseDuration } from "../duration-arguments.ts";

/** Parses a port number. */
export function parsePort(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new InvalidArgumentError("A port is 1 to 65535.");
  return port;
}

/** Parses the path of a folder. Without a name it would be the folder in which the command runs. */
export function parsePath(text: string): string {
  if (text.trim() === "") throw new InvalidArgumentError("The folder has no name.");
  return text;
}

/** Parses an upper limit. */
export function parseLimit(text: string): number {
  const limit = Number(text);
  if (!Number.isSafeInteger(limit) || limit < 1) throw new InvalidArgumentError("A limit is a whole number above 0.");
  return limit;
}

/** Returns the option `--isolation <kind>`. */
export function isolationOption(): Option {
  const text = "what separates agents from this machine; if omitted, a wall of bubblewrap where that works";
  return new Option("--isolation <kind>", text).choices(ISOLATIONS);
}

/** Parses what an agent asks for before it does it: kinds with commas between them. */
export function parseAskBefore(text: string): AskedKind[] {
  const kinds = text.split(",").map((each) => each.trim());
  const isKind = (each: string): each is AskedKind => ASKED_KINDS.some((kind) => kind === each);
  if (!kinds.every(isKind)) {
    throw new InvalidArgumentError(`The kinds are ${ASKED_KINDS.join(", ")}; several have commas between them.`);
  }
  return [...new Set(kinds)];
}

/** Returns the option `--driver <name>` of what hosts sandboxes. */
export function driverOption(): Option {
  const text =
    "what runs the sandboxes: local, this machine's processes; docker, containers, whose image `image build` makes";
  return new Option("--driver <name>", text).choices(["local", "docker"]).default("local");
}

/** Ends the command with a usage error if it has an isolation that containers would ignore. */
export function refuseIsolation(command: Command, options: { readonly driver?: string; readonly isolation?: string }) {
  if (options.driver !== "docker" || options.isolation === undefined) return;
  command.error("error: --isolation is for --driver local: containers are isolated by their engine");
}

/** Returns an option `--timeout <time>` whose value is in milliseconds. */
export function timeoutOption(description: string, defaultMs: number): Option {
  return durationOption("--timeout", description, defaultMs);
}

/** Returns an option `--<name> <time>` whose value is in milliseconds. */
export function durationOption(name: string, description: string, defaultMs: number): Option {
  const text = `${description}: seconds, or with a unit: 500ms, 30s, 10m, 1h`;
  return new Option(`${name} <time>`, text).argParser(parseTimeout).default(defaultMs, limitText(defaultMs));
}

/** The longest time that a timer of the platform waits. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** Parses a time into milliseconds. */
function parseTimeout(text: string): number {
  const ms = parseDuration(text, "s");
  if (ms === undefined || !(ms > 0 && ms <= MAX_TIMEOUT_MS)) {
    throw new InvalidArgumentError("A time is seconds above 0, or has a unit: 500ms, 30s, 10m, 1h; at most 24 days.");
  }
  return ms;
}
