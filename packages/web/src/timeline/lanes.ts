/** Puts turns and spans on lanes. Pure. */
import type { Schemas } from "../api/client.ts";
import { formatDuration } from "../format/duration.ts";
import type { Item, Lane } from "./items.ts";
import { type LifeStretch, lifeText } from "./lifecycle.ts";
import { type Turn, turnLabel } from "./turns.ts";
import type { Work } from "./work.ts";

/** The most lines of a lane; what runs in parallel beyond that shares the last one. */
const MAX_ROWS = 4;

/** Returns the end that a span is drawn to: not before its start. */
function endOf(startMs: number, endUs: number | undefined): number | undefined {
  return endUs === undefined ? undefined : Math.max(startMs, endUs / 1000);
}

/** States that last, so that there is room for their word. */
const BAND_STATES: readonly LifeStretch["state"][] = ["running", "hibernated", "unknown", "lost"];
/** A wait below this is not worth a text, ms. */
const MIN_LABELLED_MS = 1000;

export function lifecycleLane(stretches: readonly LifeStretch[]): Lane {
  const items = stretches.map((stretch): Item => {
    const { state, startMs, endMs, traceId, spanId, hasFailed } = stretch;
    const isKnown = state !== "unknown" && state !== "lost";
    return {
      id: `life ${startMs} ${state}`,
      kind: state === "lost" ? "lost" : isKnown && state !== "running" && state !== "hibernated" ? "sandbox" : "other",
      isShell: false,
      startMs,
      endMs,
      row: 0,
      name: lifeText(stretch),
      state: state === "lost" ? "lost" : hasFailed ? "failed" : "ok",
      label: BAND_STATES.includes(state) ? lifeText(stretch) : "",
      traceId,
      spanId,
    };
  });
  items.sort((a, b) => a.startMs - b.startMs);
  return { id: "lifecycle", kind: "lifecycle", title: "Lifecycle", note: "", of: undefined, rows: 1, items };
}

/** The words of the reasons why something waits. */
const REASON_WORDS: Readonly<Record<Schemas["QueuedNow"]["reason"] & string, string>> = {
  immediate: "dispatch",
  runner_busy: "another turn",
  sandbox_starting: "starting",
  sandbox_hibernated: "hibernated",
  sandbox_restoring: "restoring",
  runner_disconnected: "runner gone",
  collect_debounce: "collecting",
  initial_prompt: "first message",
  system_message: "system message",
  capacity: "capacity",
};

export function queueLane(
  turns: readonly Turn[],
  queued: readonly Pick<Schemas["QueuedNow"], "id" | "reason" | "since">[],
): Lane {
  const ended = turns.flatMap(({ record, startMs, messageId, id }): Omit<Item, "row">[] => {
    if (record === undefined || record.queue_wait_ms <= 0) return [];
    const reasons = record.queue_reasons
      .filter((reason) => reason !== "immediate")
      .map((reason) => REASON_WORDS[reason]);
    const why = reasons.length === 0 ? "" : `, ${reasons.join(", ")}`;
    return [
      {
        ...WAIT,
        id: `wait ${id}`,
        startMs: startMs - record.queue_wait_ms,
        endMs: startMs,
        name: `waited${why}`,
        label: record.queue_wait_ms < MIN_LABELLED_MS ? "" : `${formatDuration(record.queue_wait_ms)}${why}`,
        messageId,
        traceId: record.message_trace_id ?? record.trace_id,
      },
    ];
  });
  const open = queued.map(({ id, reason, since }): Omit<Item, "row"> => {
    const why = reason === null ? "waits, reason not known yet" : `waits: ${REASON_WORDS[reason]}`;
    return {
      ...WAIT,
      id: `wait ${id}`,
      startMs: Date.parse(since),
      endMs: undefined,
      name: why,
      label: "",
      messageId: id,
    };
  });
  const { items, rows } = pack([...ended, ...open].map((item) => ({ item, over: undefined })));
  return { id: "queue", kind: "queue", title: "Queue", note: "", of: undefined, rows, items };
}
const WAIT = { kind: "queue", isShell: false, state: "ok" } as const;

/** Work for a lane, with the item over which it is drawn. */
export interface Placeable {
  readonly item: Omit<Item, "row">;
  readonly over: string | undefined;
}

export function turnItem(turn: Turn): Item {
  const outcome = turn.record?.outcome;
  return {
    id: `turn ${turn.id}`,
    kind: "other",
    isShell: true,
    startMs: turn.startMs,
    endMs: turn.endMs,
    row: 0,
    name: `turn ${turn.number}`,
    state: outcome === "lost" ? "lost" : outcome === "error" ? "failed" : "ok",
    label: turnLabel(turn),
    messageId: turn.messageId,
    traceId: turn.record?.trace_id ?? turn.traceIds[0],
  };
}

export function workItem(
  { span, traceId, kind, name, isCostPartial }: Work,
  turn: Turn | undefined,
): Omit<Item, "row"> {
  const startMs = span.startUs / 1000;
  return {
    id: `${traceId} ${span.spanId}`,
    kind,
    isShell: false,
    startMs,
    endMs: endOf(startMs, span.endUs),
    name,
    state: span.isSealed || span.outcome === "lost" ? "lost" : span.isError ? "failed" : "ok",
    label: "",
    messageId: turn?.messageId,
    traceId,
    spanId: span.spanId,
    heardMs: heardOf(span),
    usage: span.usage,
    isCostPartial,
  };
}

/** Returns when the runner of a sealed span was last heard, within the span; `undefined` if nobody knows. */
function heardOf({ isSealed, lastSeenMs, startUs, endUs = startUs }: Work["span"]): number | undefined {
  if (!isSealed || lastSeenMs === undefined) return undefined;
  return Math.min(Math.max(lastSeenMs, startUs / 1000), Math.max(startUs, endUs) / 1000);
}

/** Returns the lane of a channel. @param work that of its turns */
export function channelLane(channel: string, turns: readonly Turn[], work: readonly Placeable[]): Lane {
  const { items, rows } = pack(work);
  const shells = turns.map(turnItem);
  const count = turns.length === 1 ? "1 turn" : `${turns.length} turns`;
  return {
    id: `channel ${channel}`,
    kind: "channel",
    title: `# ${channel}`,
    note: count,
    of: channel,
    rows,
    items: [...shells, ...items].sort((a, b) => a.startMs - b.startMs),
  };
}

/** A tool may begin while the last of the model's answer comes: that is one after the other. */
const TOUCHING_MS = 50;

/** Gives each item the first line on which nothing else is at the time; a wait within a call has the call's line. */
export function pack(work: readonly Placeable[]): { readonly items: Item[]; readonly rows: number } {
  // What lies over a call comes after it, though a wait may be recorded a moment before the call that waits.
  const isOver = ({ over }: Placeable) => Number(over !== undefined);
  const sorted = work.toSorted((a, b) => isOver(a) - isOver(b) || a.item.startMs - b.item.startMs);
  const rowEnds: number[] = [];
  const rowsById = new Map<string, number>();
  const items: Item[] = [];
  for (const { item, over } of sorted) {
    const above = over === undefined ? undefined : rowsById.get(`${item.traceId} ${over}`);
    let row = above ?? rowEnds.findIndex((endMs) => endMs <= item.startMs + TOUCHING_MS);
    if (row < 0) row = Math.min(rowEnds.length, MAX_ROWS - 1);
    const endMs = item.endMs ?? Number.POSITIVE_INFINITY;
    if (above === undefined) rowEnds[row] = Math.max(rowEnds[row] ?? Number.NEGATIVE_INFINITY, endMs);
    rowsById.set(item.id, row);
    items.push({ ...item, row });
  }
  return { items: items.sort((a, b) => a.startMs - b.startMs), rows: Math.max(1, rowEnds.length) };
}
