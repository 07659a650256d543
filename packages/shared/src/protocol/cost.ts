/** Sums with unknown parts, and costs as text for people. Pure. */

/**
 * Returns a sum, or `null` if it is unknown: a sum of 0 with a missing part says nothing.
 * @param total the sum of the known parts
 * @param missing how many parts are missing from it, completely or partly
 */
export function knownSum(total: number, missing: number): number | null {
  return total === 0 && missing > 0 ? null : total;
}

/**
 * Returns a cost as text: `$0.1234`, `at least $0.1234`, `cost unknown`. An amount too small for four decimals has two significant
 * digits, so that only a cost of 0 reads `$0.0000`.
 * @param usd in US dollars; `null` or absent if unknown
 * @param isPartial whether a part of the cost is missing
 */
export function costText(usd: number | null | undefined, isPartial = false): string {
  const known = knownSum(usd ?? 0, usd === null || usd === undefined || isPartial ? 1 : 0);
  if (known === null) return "cost unknown";
  return `${isPartial ? "at least " : ""}$${decimals(known)}`;
}

function decimals(usd: number): string {
  if (usd === 0 || usd >= 0.00005) return usd.toFixed(4);
  // Two significant digits without an exponent; `toFixed` takes at most 100 decimals.
  return usd.toFixed(Math.min(100, 1 - Math.floor(Math.log10(usd))));
}
