/** The words of a tick. Pure, in the time zone of the browser. */
import { two, WEEKDAYS } from "../format/calendar.ts";
import type { Tick } from "./ticks.ts";

/** Returns the time of day as exactly as the step needs, and the day if it is to be written. */
export function formatTick(
  { ms, stepMs, hasDay }: Pick<Tick, "ms" | "stepMs" | "hasDay">,
  nowMs: number,
): { readonly day: string | undefined; readonly clock: string } {
  const at = new Date(ms);
  const minutes = `${two(at.getHours())}:${two(at.getMinutes())}`;
  const seconds = stepMs < 60_000 ? `:${two(at.getSeconds())}` : "";
  const millis = stepMs < 1000 ? `.${String(at.getMilliseconds()).padStart(3, "0")}` : "";
  const isToday = at.toDateString() === new Date(nowMs).toDateString();
  const day = isToday ? "Today" : `${WEEKDAYS[at.getDay()]} ${at.getDate()}`;
  return { day: hasDay ? day : undefined, clock: minutes + seconds + millis };
}
