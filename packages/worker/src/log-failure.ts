import { exceptionType } from "@valet/shared/tracing";
import { ConfigError } from "./config.ts";

const MAX_FRAMES = 8;

/** The invalid variables that this isolate has logged. There are few: each is one of a table's. */
const loggedSettings = new Set<string>();

/**
 * Logs that something of ours failed: its kind and where, not its text, which may quote what people or models said. Only a
 * {@link ConfigError} says which variable is wrong and what it must be, in `setting`: its text quotes nothing. It is logged once, since
 * everything fails for it until the next deployment. What fails because D1 lacks migrations says so in `lacks`.
 */
export function logFailure(message: string, error: unknown): void {
  if (error instanceof ConfigError) {
    if (loggedSettings.has(error.message)) return;
    loggedSettings.add(error.message);
  }
  const frames = String((error as Error)?.stack ?? "").match(/^\s+at .*$/gm) ?? [];
  const setting = error instanceof ConfigError ? error.message : undefined;
  const lacks = isBeforeMigrations(error) ? "migrations" : undefined;
  console.error(
    JSON.stringify({ message, error: exceptionType(error), setting, lacks, at: frames.slice(0, MAX_FRAMES) }),
  );
}

/**
 * Returns whether D1 has no schema yet, or an older one: a start or a deployment is in progress, and what failed is
 * tried again. Objects wake as soon as workerd runs, which is before `valet up` can reach D1.
 */
export function isBeforeMigrations(error: unknown): boolean {
  return /^D1_ERROR: .*(?:\bno such (?:table|column)\b|\bhas no column named\b)/.test(
    String((error as Error)?.message),
  );
}
