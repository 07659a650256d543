/** What an item is, in words. Pure. */
import { formatDuration } from "../format/duration.ts";
import { formatExactTime, formatTime } from "../format/figures.ts";
import { KIND_LOOKS } from "../ui/kind.tsx";
import type { Item, Lane } from "./items.ts";

export interface Description {
  /** The kind of work. */
  readonly what: string;
  /** May come from outside. */
  readonly name: string;
  readonly duration: string;
  /** Its start, to the ms. */
  readonly at: string;
  /** Empty if it went well. */
  readonly state: string;
}

export function describe(lane: Lane, item: Item, nowMs: number): Description {
  const isOpen = item.endMs === undefined;
  const lasted = formatDuration(Math.max(0, (item.endMs ?? nowMs) - item.startMs), true);
  const duration = isOpen ? `${lasted} so far` : lasted;
  const at = formatExactTime(new Date(item.startMs));
  const state = item.state === "ok" ? "" : item.state;
  if (item.count !== undefined) {
    const many = item.isShell ? `${item.count} turns` : String(item.count);
    return { what: "", name: `${many} in ${lasted}`, duration: "", at, state };
  }
  if (item.isShell || lane.kind === "lifecycle" || item.kind === "queue") {
    return { what: "", name: item.name, duration, at, state };
  }
  return { what: KIND_LOOKS[item.kind].word, name: item.name, duration, at, state };
}

/** Returns it as one sentence, for screen readers. */
export function sentenceOf(lane: Lane, item: Item, nowMs: number): string {
  const { what, name, duration, state } = describe(lane, item, nowMs);
  const at = formatTime(new Date(item.startMs), new Date(nowMs));
  const label = item.isShell ? item.label.replace(/^\d+( again)?( · )?/, "") : "";
  const parts = [`${what} ${name}`.trim(), label, label.includes(state) ? "" : state, duration, `at ${at}`];
  return parts.filter((part) => part !== "").join(", ");
}
