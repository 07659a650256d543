/** Where a group's percentiles stand on the axis that all groups share. Pure. */
import type { Schemas } from "../../api/client.ts";

type Percentiles = Pick<Schemas["Distribution"], "p50" | "p90" | "p99">;

/** Per cent of the width of a logarithmic axis. */
interface GroupSpan {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
}

/** Returns the places of percentiles; `undefined` if they are not known. @param all the groups' percentiles, which make the axis */
export function spanOf({ p50, p90, p99 }: Percentiles, all: readonly Percentiles[]): GroupSpan | undefined {
  if (p50 === null || p90 === null || p99 === null) return undefined;
  const known = all
    .flatMap((each) => [each.p50, each.p90, each.p99])
    .filter((value): value is number => value !== null && value > 0);
  if (known.length === 0) return { p50: 0, p90: 0, p99: 0 };
  const low = Math.log(Math.min(...known));
  const width = Math.log(Math.max(...known)) - low;
  const place = (value: number) => (value <= 0 || width === 0 ? 0 : ((Math.log(value) - low) / width) * 100);
  return { p50: place(p50), p90: place(p90), p99: place(p99) };
}
