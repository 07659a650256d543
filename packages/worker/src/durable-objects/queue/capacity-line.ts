/** The line for a sandbox, as far as jobs that wait in it show their place. */
import type { JobRow } from "./job-store.ts";

export interface CapacityLine {
  /** The session's place among those that wait for a sandbox, from 1; `undefined` where it does not wait. */
  readonly place: number | undefined;
}

/** Returns the place to show with a job; nothing where it waits for something else, or no more. */
export function placeOf({ status, reason }: JobRow, { place }: CapacityLine): { readonly capacityPlace?: number } {
  return status === "queued" && reason === "capacity" && place !== undefined ? { capacityPlace: place } : {};
}
