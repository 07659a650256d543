/** The clock of the server that the page is from. */
import { ServerClock } from "@valet/shared/http/server-clock";

const clock = new ServerClock();

/** Learns from an answer. @param date its `Date` header */
export function learnServerTime(date: string | null, receivedMs: number): void {
  clock.learn(date, receivedMs);
}

/** Returns the server's time now, in epoch ms. */
export function serverNow(): number {
  return clock.now();
}
