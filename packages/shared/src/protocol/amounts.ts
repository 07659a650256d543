/** Which figures are possible amounts. Pure, and without the schemas' library. */

/**
 * No honest figure of a turn is larger: 300 years in ms, or a hundred thousand full contexts of a hundred million tokens. Sums of
 * figures up to this stay finite.
 */
export const MAX_FIGURE = 1e13;

/** Returns whether a value is a possible amount: a number that is not negative, and so small that sums stay finite. */
export function isAmount(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= MAX_FIGURE;
}
