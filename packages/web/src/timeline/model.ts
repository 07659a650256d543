/** All that the timeline shows of a session, from what the API says. Pure. */
import type { SkeletonSpan } from "@valet/shared/protocol/skeleton-codec";
import type { Schemas } from "../api/client.ts";
import { formatDuration } from "../format/duration.ts";
import { foldIdle, type Stretch } from "./axis.ts";
import { type Interval, overlapMs, subtract, union } from "./intervals.ts";
import type { CostStep, Item, Lane, TokenStem } from "./items.ts";
import { channelLane, lifecycleLane, type Placeable, pack, queueLane, turnItem, workItem } from "./lanes.ts";
import { isOperation, type LifeStretch, lifecycleOf, type Operation, type Seal } from "./lifecycle.ts";
import { matchTurns, type Turn, turnsByTrace, turnsOf } from "./turns.ts";
import { type Call, costSteps, tokenStems } from "./usage.ts";
import { traceWork, type Work } from "./work.ts";

/** What is known of a trace: its summary from the list, its spans once they were read. */
export interface KnownTrace {
  readonly traceId: string;
  readonly summary: Schemas["TraceSummaryView"] | undefined;
  /** In order of their starts; empty until they were read. Another array whenever one of them changes. */
  readonly spans: readonly SkeletonSpan[];
}

/** What is known of a session. */
export interface Known {
  readonly traces: readonly KnownTrace[];
  /** Those that ended. */
  readonly records: readonly Schemas["TurnRecord"][];
  /** Of messages that run: their traces. */
  readonly traceOf: (messageId: string) => string | undefined;
}

/** What is known of a child session. */
export interface KnownChild extends Known {
  readonly session: Pick<Schemas["SessionView"], "id" | "title" | "createdAt">;
  readonly title: string;
}

export interface Model {
  readonly lanes: readonly Lane[];
  readonly turns: readonly Turn[];
  readonly stems: readonly TokenStem[];
  readonly costs: readonly CostStep[];
  readonly lifecycle: readonly LifeStretch[];
  /** When something worked, apart from what is still open. */
  readonly work: readonly Interval[];
  /** When something waited for a person and nothing else worked, apart from what is still open. */
  readonly waits: readonly Interval[];
  /** Since when something waits for a person and nothing else works, epoch ms; `undefined` if that is not so. */
  readonly openWaitSinceMs: number | undefined;
  /** Since when the oldest open thing is open, epoch ms; `undefined` if nothing is. */
  readonly openSinceMs: number | undefined;
  readonly startMs: number;
  /** The end of the last thing that ended. */
  readonly lastMs: number;
}

type Session = Pick<Schemas["SessionView"], "status" | "generation" | "createdAt">;
/** Of what runs and waits now, what does not change while it does. */
interface Now {
  readonly running: readonly Pick<Schemas["RunNow"], "id" | "channel" | "attempt" | "dispatchedAt">[];
  readonly queue: readonly Pick<Schemas["QueuedNow"], "id" | "reason" | "since">[];
}

export function modelOf(known: Known, session: Session, now: Now | undefined, children: readonly KnownChild[]): Model {
  const turns = turnsOf(known.records, now?.running ?? [], known.traceOf);
  const { byChannel, unplaced, over, calls } = placed(known, turns);
  const lifecycle = lifecycleOf(operationsOf(known.traces), sealsOf(known), session);
  const channels = new Map<string, Turn[]>();
  for (const turn of turns) {
    const own = channels.get(turn.channel);
    if (own === undefined) channels.set(turn.channel, [turn]);
    else own.push(turn);
  }
  const lanes: Lane[] = [
    lifecycleLane(lifecycle),
    queueLane(turns, now?.queue ?? []),
    ...[...channels].map(([channel, own]) => channelLane(channel, own, byChannel.get(channel) ?? [])),
    ...(unplaced.length === 0 ? [] : [unknownLane(unplaced)]),
    ...children.map(childLane),
  ];
  const items = lanes.flatMap((lane) => lane.items.filter((item) => countsAsWork(lane, item)));
  const all = lanes.flatMap((lane) => lane.items);
  const startMs = all.reduce((first, item) => Math.min(first, item.startMs), Date.parse(session.createdAt));
  return {
    lanes,
    turns,
    stems: tokenStems(turns, calls),
    costs: costSteps(turns, calls, startMs),
    lifecycle,
    work: closedTime(items),
    openSinceMs: firstOpen(items),
    ...waitsOf(items, over),
    startMs,
    lastMs: all.reduce((last, item) => Math.max(last, item.endMs ?? item.startMs), startMs),
  };
}

/** @param over the ids of items over which a wait is drawn: they wait, too */
function waitsOf(items: readonly Item[], over: ReadonlySet<string>) {
  const waiting = items.filter(({ kind }) => kind === "person");
  const busy = items.filter(({ id, isShell, kind }) => !isShell && !over.has(id) && WORKING.includes(kind));
  const openWait = firstOpen(busy) === undefined ? firstOpen(waiting) : undefined;
  return { waits: subtract(closedTime(waiting), closedTime(busy)), openWaitSinceMs: openWait };
}
const WORKING: readonly Item["kind"][] = ["model", "tool", "sandbox", "retry"];

function closedTime(items: readonly Item[]): Interval[] {
  return union(items.flatMap(({ startMs, endMs }) => (endMs === undefined ? [] : [{ startMs, endMs }])));
}

function firstOpen(items: readonly Item[]): number | undefined {
  return items.reduce<number | undefined>(
    (first, { startMs, endMs }) => (endMs === undefined ? Math.min(first ?? startMs, startMs) : first),
    undefined,
  );
}

/** Returns the stretches of a session until now. */
export function stretchesOf(model: Model, nowMs: number): Stretch[] {
  const { work, waits, openSinceMs, openWaitSinceMs, startMs, lastMs } = model;
  const whole = { startMs, endMs: Math.max(nowMs, lastMs) };
  return foldIdle(withOpen(work, openSinceMs, nowMs), withOpen(waits, openWaitSinceMs, nowMs), whole);
}

function withOpen(closed: readonly Interval[], sinceMs: number | undefined, nowMs: number): readonly Interval[] {
  return sinceMs === undefined || sinceMs >= nowMs ? closed : union([...closed, { startMs: sinceMs, endMs: nowMs }]);
}

/** Returns what a folded gap was: hibernation, a wait for a person, or idle time. */
export function gapText(model: Model, gap: Interval, nowMs: number): string {
  const of = (states: readonly LifeStretch["state"][]) =>
    union(
      model.lifecycle
        .filter(({ state }) => states.includes(state))
        .map(({ startMs, endMs }) => ({ startMs, endMs: endMs ?? Math.max(nowMs, startMs) })),
    );
  const half = (gap.endMs - gap.startMs) / 2;
  const word =
    overlapMs([gap], withOpen(model.waits, model.openWaitSinceMs, nowMs)) >= half
      ? "waits for a person"
      : overlapMs([gap], of(["hibernated"])) >= half
        ? "hibernated"
        : overlapMs([gap], of(["unknown"])) >= half
          ? "not known"
          : "idle";
  const turns = model.turns.filter(
    ({ startMs, endMs }) => startMs < gap.endMs && (endMs ?? Math.max(nowMs, startMs)) > gap.startMs,
  ).length;
  const folded = turns > 1 ? ` · ${turns} turns folded` : "";
  return `${word} ${formatDuration(gap.endMs - gap.startMs)}${folded}`;
}

/** A sandbox that rests is not work. */
function countsAsWork({ kind }: Lane, item: Item): boolean {
  return kind !== "lifecycle" || item.kind === "sandbox";
}

/** Puts the work of a session's traces with its turns. */
function placed(known: Known, turns: readonly Turn[]) {
  const traces = known.traces.map(({ traceId, spans }) => traceWork(traceId, spans));
  const byTrace = turnsByTrace(turns);
  const turnSpans = traces.flatMap((trace) => trace.turns);
  const turnOf = matchTurns(turns, byTrace, turnSpans);
  const byChannel = new Map<string, Placeable[]>();
  const unplaced: Placeable[] = [];
  /** The ids of items over which waits are drawn. */
  const over = new Set<string>();
  const calls = new Map<string, Call[]>();
  for (const { work: all } of traces) {
    for (const work of all) {
      const turn = work.turn === undefined ? aroundIt(work, byTrace) : turnOf.get(work.turn.spanId);
      const each = { item: workItem(work, turn), over: work.over };
      if (work.over !== undefined) over.add(`${work.traceId} ${work.over}`);
      if (turn !== undefined) noteCall(calls, turn, work);
      const own = turn === undefined ? unplaced : byChannel.get(turn.channel);
      if (own !== undefined) own.push(each);
      else if (turn !== undefined) byChannel.set(turn.channel, [each]);
    }
  }
  return { byChannel, unplaced, over, calls };
}

function noteCall(calls: Map<string, Call[]>, turn: Turn, { span: { usage, startUs, endUs } }: Work): void {
  if (usage === undefined || endUs === undefined) return;
  const call = { atMs: Math.max(startUs, endUs) / 1000, usage };
  const own = calls.get(turn.id);
  if (own === undefined) calls.set(turn.id, [call]);
  else own.push(call);
}

/** Returns the turn of an orphan: the one of its trace during which it began; `undefined` if there is not exactly one. */
function aroundIt({ span, traceId }: Work, byTrace: ReadonlyMap<string, readonly Turn[]>): Turn | undefined {
  const startMs = span.startUs / 1000;
  const own = byTrace.get(traceId) ?? [];
  const around = own.filter((turn) => turn.startMs <= startMs && (turn.endMs ?? startMs) >= startMs);
  return around.length === 1 ? around[0] : undefined;
}

function unknownLane(work: readonly Placeable[]): Lane {
  const lane = pack(work);
  return { id: "unknown", kind: "channel", title: "No channel", note: "", of: undefined, ...lane };
}

function childLane({ session, title, ...known }: KnownChild): Lane {
  const turns = turnsOf(known.records, [], () => undefined);
  const { byChannel, unplaced } = placed(known, turns);
  const { items, rows } = pack([...[...byChannel.values()].flat(), ...unplaced]);
  // Its messages are not of this session, and cannot be selected here.
  const mine = [...turns.map(turnItem), ...items].map((item) => ({ ...item, messageId: undefined }));
  return {
    id: `child ${session.id}`,
    kind: "child",
    title: "↳ child",
    note: title,
    of: session.id,
    rows,
    items: mine.sort((a, b) => a.startMs - b.startMs),
  };
}

/** Returns the operations on the sandbox: from their spans if these were read, and else from the list of traces. */
function operationsOf(traces: readonly KnownTrace[]): Operation[] {
  return traces.flatMap(({ traceId, summary, spans }): Operation[] => {
    const own = spans.filter(({ name, isAdopted }) => isAdopted !== true && isOperation(name));
    if (own.length > 0) {
      return own.map(({ spanId, name, startUs, endUs, isError, outcome }) => ({
        traceId,
        spanId,
        name,
        startMs: startUs / 1000,
        endMs: endUs === undefined ? undefined : Math.max(startUs, endUs) / 1000,
        hasFailed: endUs === undefined ? undefined : isError || (outcome !== undefined && outcome !== "ok"),
      }));
    }
    if (summary === undefined || spans.length > 0 || !isOperation(summary.name)) return [];
    const startMs = Date.parse(summary.startedAt);
    const endMs = summary.openSpans > 0 ? undefined : startMs + summary.duration_ms;
    return [
      {
        traceId,
        spanId: undefined,
        name: summary.name,
        startMs,
        endMs,
        hasFailed: summary.errors > 0 ? true : undefined,
      },
    ];
  });
}

/** Returns the ends of lost work: of spans that were read, and of turns, whose spans may not have been. */
function sealsOf({ traces, records }: Known): Seal[] {
  const sealed = traces.flatMap(({ spans }) => spans.filter(({ isSealed }) => isSealed));
  const ofSpans = sealed.map(({ startUs, endUs = startUs, lastSeenMs = endUs / 1000 }): Seal => {
    return { endMs: endUs / 1000, heardMs: lastSeenMs };
  });
  const ofTurns = records.flatMap(({ outcome, ended_at }): Seal[] => {
    const endMs = Date.parse(ended_at);
    return outcome === "lost" ? [{ endMs, heardMs: endMs }] : [];
  });
  return [...ofSpans, ...ofTurns].sort((a, b) => a.endMs - b.endMs);
}
