/**
 * Cloudflare's published prices for the plan Workers Paid, in US dollars, as read on 2026-11-26. The included amounts are an
 * account's own and are left out: this is what one more costs.
 *
 * https://developers.cloudflare.com/workers/platform/pricing/
 * https://developers.cloudflare.com/durable-objects/platform/pricing/
 * https://developers.cloudflare.com/d1/platform/pricing/
 */
import type { Counts } from "./counts.ts";

const MILLION = 1e6;

const PRICES = {
  workerRequest: 0.3 / MILLION,
  objectRequest: 0.15 / MILLION,
  /** Per GB and second, of the 128 MB that an object is billed for. */
  gigabyteSecond: 12.5 / MILLION,
  rowRead: 0.001 / MILLION,
  rowWritten: 1 / MILLION,
  d1RowRead: 0.001 / MILLION,
  d1RowWritten: 1 / MILLION,
  /** Of an object's database, per GB and month. */
  gigabyteMonth: 0.2,
} as const;

const OBJECT_GIGABYTES = 0.128;
const SOCKET_MESSAGES_PER_REQUEST = 20;
const DAYS_PER_MONTH = 30;

/** Returns what the counted amounts cost, in US dollars. The Worker's CPU time is not in it. */
export function costOf(counts: Counts): number {
  const objectRequests = counts.objectRequests + counts.socketMessages / SOCKET_MESSAGES_PER_REQUEST;
  return (
    counts.workerRequests * PRICES.workerRequest +
    objectRequests * PRICES.objectRequest +
    (counts.activeMs / 1000) * OBJECT_GIGABYTES * PRICES.gigabyteSecond +
    counts.rowsRead * PRICES.rowRead +
    counts.rowsWritten * PRICES.rowWritten +
    counts.d1RowsRead * PRICES.d1RowRead +
    counts.d1RowsWritten * PRICES.d1RowWritten
  );
}

/** Returns what it costs to store so many bytes for a day, in US dollars. */
export function storageCostOfDay(bytes: number): number {
  return ((bytes / 1e9) * PRICES.gigabyteMonth) / DAYS_PER_MONTH;
}
