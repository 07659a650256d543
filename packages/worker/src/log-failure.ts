import { exceptionType } from "@valet/shared/tracing";
import { ConfigError } from "./config.ts";

const MAX_FRAMES = 8;

/**
 * Logs that something of ours failed: its kind and where, not its text, which may quote what people or models said. Only a
 * {@link ConfigError} says which variable is wrong, in `setting`: its text quotes nothing.
 */
export function logFailure(message: string, error: unknown): void {
  const frames = String((error as Error)?.stack ?? "").match(/^\s+at .*$/gm) ?? [];
  const setting = error instanceof ConfigError ? error.message : undefined;
  console.error(JSON.stringify({ message, error: exceptionType(error), setting, at: frames.slice(0, MAX_FRAMES) }));
}
