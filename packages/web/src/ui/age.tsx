/** Times and ages. All ages on the page tick together, once a second; they stand still while the server cannot be reached. */
import { useSyncExternalStore } from "react";
import { connection } from "../api/connection.ts";
import { serverNow } from "../api/server-clock.ts";
import { formatAge } from "../format/duration.ts";
import { formatExactTime, formatTime } from "../format/figures.ts";

let now = serverNow();
let timer: ReturnType<typeof setInterval> | undefined;
const listeners = new Set<() => void>();

function tick(): void {
  if (connection.read().state !== "live") return;
  now = serverNow();
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  if (timer === undefined) {
    now = serverNow();
    timer = setInterval(tick, 1000);
  }
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/** Returns the server's time, epoch ms, to the second. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => now);
}

/** How long ago something was. Screen readers read it when they come by, and not each second. */
export function Age({ since, prefix }: { readonly since: string; readonly prefix?: string }) {
  const age = formatAge(useNow() - Date.parse(since));
  return (
    <time dateTime={since} title={`since ${formatExactTime(new Date(since))}`} aria-live="off">
      {prefix}
      {age}
    </time>
  );
}

/** A point in time: today's without a date, exact on hover. */
export function Time({ at }: { readonly at: string }) {
  const time = new Date(at);
  return (
    <time dateTime={at} title={formatExactTime(time)}>
      {formatTime(time, new Date(useNow()))}
    </time>
  );
}
