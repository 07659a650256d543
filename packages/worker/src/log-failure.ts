import { exceptionType } from "@valet/shared/tracing";

const MAX_FRAMES = 8;

/** Logs that something of ours failed: its kind and where, not its text, which may quote what people or models said. */
export function logFailure(message: string, error: unknown): void {
  const frames = String((error as Error)?.stack ?? "").match(/^\s+at .*$/gm) ?? [];
  console.error(JSON.stringify({ message, error: exceptionType(error), at: frames.slice(0, MAX_FRAMES) }));
}
