/** Pauses between attempts to connect. Pure. */

const FIRST_MS = 500;
const LONGEST_MS = 15_000;

/**
 * Returns the pause before the next attempt, in ms: it doubles, and half of it is random, so that the pages of many people do not
 * come back at the same moment.
 * @param failures how many attempts in a row have failed, from 1
 * @param random from 0 to 1
 */
export function pauseMs(failures: number, random: number): number {
  const whole = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(failures - 1, 10));
  return whole / 2 + (whole / 2) * random;
}
