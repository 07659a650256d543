import { exceptionType } from "@valet/shared/tracing";
import { ConfigError } from "./config.ts";

const MAX_FRAMES = 8;

/** The invalid variables that this isolate has logged. There are few: each is one of a table's. */
const loggedSettings = new Set<string>();

/**
 * Logs that something of ours failed: its kind and where, not its text, which may quote what people or models said. Only a
 * {@link ConfigError} says which variable is wrong and what it must be, in `setting`: its text quotes nothing. It is logged once, since
 * everything fails for it until the next deployment.
 */
export function logFailure(message: string, error: unknown): void {
  if (error instanceof ConfigError) {
    if (loggedSettings.has(error.message)) return;
    loggedSettings.add(error.message);
  }
  const frames = String((error as Error)?.stack ?? "").match(/^\s+at .*$/gm) ?? [];
  const setting = error instanceof ConfigError ? error.message : undefined;
  console.error(JSON.stringify({ message, error: exceptionType(error), setting, at: frames.slice(0, MAX_FRAMES) }));
}
