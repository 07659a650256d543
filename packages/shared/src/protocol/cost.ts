/** Sums of what is not known of everything that belongs to them, and how a cost is written for people. Pure. */

/**
 * Returns a sum, or `null` where it is not known: a sum of 0 from which something is missing says nothing.
 * @param total of what is known
 * @param missing how many parts are not in it, or not wholly
 */
export function knownSum(total: number, missing: number): number | null {
  return total === 0 && missing > 0 ? null : total;
}

/**
 * Returns a cost for people: `$0.1234`, `at least $0.1234`, `cost unknown`. An amount too small for four decimals is written with two
 * significant digits, so that only nothing reads as `$0.0000`.
 * @param usd in US dollars; `null` or absent where it is not known
 * @param isPartial whether something is missing from it
 */
export function costText(usd: number | null | undefined, isPartial = false): string {
  const known = knownSum(usd ?? 0, usd === null || usd === undefined || isPartial ? 1 : 0);
  if (known === null) return "cost unknown";
  return `${isPartial ? "at least " : ""}$${decimals(known)}`;
}

function decimals(usd: number): string {
  if (usd === 0 || usd >= 0.00005) return usd.toFixed(4);
  // Two significant digits, and no exponent: 100 decimals are the most that a number can be asked for.
  return usd.toFixed(Math.min(100, 1 - Math.floor(Math.log10(usd))));
}
