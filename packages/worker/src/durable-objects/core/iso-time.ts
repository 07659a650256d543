import { LATEST_MS } from "@valet/shared/protocol/wire-fields";

/** Formats epoch milliseconds as ISO 8601 in UTC. */
export function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

/**
 * Returns what another process says is a time, epoch ms, or a duration in ms; `undefined` if it can be neither. Such a number must not
 * be stored: {@link isoTime} would throw with each answer that has it.
 */
export function saidMs(value: unknown): number | undefined {
  return typeof value === "number" && value >= 0 && value <= LATEST_MS ? value : undefined;
}
