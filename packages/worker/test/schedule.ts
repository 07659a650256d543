/** A scheduler over the rooms of a unit test. */
import { INTERVALS } from "../src/config.ts";
import { BATCH_LIMITS } from "../src/durable-objects/core/limits.ts";
import { type ChannelMemory, Scheduler } from "../src/durable-objects/dispatch/scheduler.ts";
import { Watchdogs } from "../src/durable-objects/dispatch/watchdogs.ts";
import type { StartCause } from "../src/durable-objects/sandbox/sandbox-start.ts";
import type { Rooms } from "./rooms.ts";

export function schedule(rooms: Rooms, channels: ChannelMemory = { contextOf: () => ({}) as never }) {
  /** The causes of the starts of a sandbox. */
  const starts: StartCause[] = [];
  /** The arguments of `signs.watch`: whether the runner works. */
  const busy: boolean[] = [];
  const watchdogs = new Watchdogs({ ...rooms, intervals: INTERVALS, isWaitingForPerson: () => false });
  const scheduler = new Scheduler({
    ...rooms,
    channels,
    intervals: INTERVALS,
    limits: { ...BATCH_LIMITS, collectMaxMs: INTERVALS.collectMaxMs },
    lifecycle: { start: (cause) => starts.push(cause) > 0 },
    watchdogs,
    signs: { watch: (isBusy) => void busy.push(isBusy) },
  });
  rooms.timers.handle({ ...scheduler.timerHandlers, ...watchdogs.timerHandlers });
  return { scheduler, starts, busy, pump: () => rooms.run(() => scheduler.pump()) };
}
