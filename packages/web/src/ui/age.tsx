/**
 * Times and ages. All ages on the page tick together, once a second; they stand still while the server cannot be reached. What a component
 * takes from the clock is what it shows, so that it is drawn again only when that changes.
 */
import { useSyncExternalStore } from "react";
import { connection } from "../api/connection.ts";
import { serverNow } from "../api/server-clock.ts";
import { formatAge } from "../format/duration.ts";
import { formatExactTime, formatTime } from "../format/figures.ts";

let now = serverNow();
let today = dayOf(now);
let timer: ReturnType<typeof setInterval> | undefined;
const listeners = new Set<() => void>();

/** Returns when the day of a time began, epoch ms, in the time zone of the browser. */
function dayOf(ms: number): number {
  return new Date(ms).setHours(0, 0, 0, 0);
}

function readNow(): void {
  now = serverNow();
  today = dayOf(now);
}

function tick(): void {
  if (connection.read().state !== "live") return;
  readNow();
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  if (timer === undefined) {
    readNow();
    timer = setInterval(tick, 1000);
  }
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/**
 * Returns the server's time, epoch ms, to the second.
 * @param stepMs rounds it up: what is drawn coarsely is drawn again only when it looks different
 */
export function useNow(stepMs = 1): number {
  return useSyncExternalStore(subscribe, () => Math.ceil(now / stepMs) * stepMs);
}

/** How long ago something was. Screen readers read it when they come by, and not each second. */
export function Age({ since, prefix }: { readonly since: string; readonly prefix?: string }) {
  const age = useSyncExternalStore(subscribe, () => formatAge(now - Date.parse(since)));
  return (
    <time dateTime={since} title={`since ${formatExactTime(new Date(since))}`} aria-live="off">
      {prefix}
      {age}
    </time>
  );
}

/** A point in time: today's without a date, exact on hover. It is drawn again when a day begins, and not each second. */
export function Time({ at }: { readonly at: string }) {
  const time = new Date(at);
  const day = useSyncExternalStore(subscribe, () => today);
  return (
    <time dateTime={at} title={formatExactTime(time)}>
      {formatTime(time, new Date(day))}
    </time>
  );
}
