/** The timeline of a session: all that happened, on lanes that share one axis of time. */
import { useQuery } from "@tanstack/react-query";
import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from "react";
import { nowQuery } from "../api/sessions.ts";
import { useActions } from "../app/actions.ts";
import { Kept, useKept } from "../app/kept.ts";
import { type Selection, selecting, selectsSame } from "../app/selection.ts";
import { useNow } from "../ui/age.tsx";
import { KINDS } from "../ui/kind.tsx";
import { ErrorNote, Loading } from "../ui/notes.tsx";
import { useWidth } from "../ui/use-width.ts";
import type { Item, Lane } from "./items.ts";
import { LaneRow } from "./lane-row.tsx";
import { Minimap } from "./minimap.tsx";
import { type Model, stretchesOf } from "./model.ts";
import { AxisRow, Folds } from "./overlay.tsx";
import { Panel } from "./panel.tsx";
import { moved, nearest, type Place, selectedPlace, selectionOf } from "./places.ts";
import { PAN_STEP, type Preset, Toolbar, ZOOM_STEP } from "./toolbar.tsx";
import { CostRow, TokensRow } from "./usage-row.tsx";
import { useGestures } from "./use-gestures.ts";
import type { TimelineData } from "./use-timeline.ts";
import { useWanted } from "./use-wanted.ts";
import { panned, type Range, rangeAround, rangeWith, viewOf, zoomed } from "./view.ts";

export interface TimelineProps {
  readonly sessionId: string;
  readonly selection: Selection;
  /** Takes what was selected here; what is absent is selected no more. */
  readonly onSelect: (selection: Selection) => void;
}

export function Timeline(props: TimelineProps & { readonly data: TimelineData }) {
  const { data } = props;
  const { model, error, retry } = data;
  return (
    <section className="tl" aria-label="Timeline">
      {error !== undefined && (
        <ErrorNote what="The timeline could not be read completely." error={error} onRetry={retry} />
      )}
      {model === undefined ? (
        error === undefined && (
          <div className="p-4">
            <Loading what="the timeline" rows={6} height={2.5} />
          </div>
        )
      ) : (
        <Lanes {...props} model={model} />
      )}
    </section>
  );
}

function Lanes({
  sessionId,
  selection,
  onSelect,
  data,
  model,
}: TimelineProps & { readonly data: TimelineData; readonly model: Model }) {
  const nowMs = useNow();
  const now = useQuery(nowQuery(sessionId)).data;
  const [{ range, preset, isFollowing }, change] = useKept(ZOOMS, sessionId, WHOLE);
  const setFollowing = (next: boolean) => change((before) => ({ ...before, isFollowing: next }));
  const [hovered, setHovered] = useState<Place>();
  const [at, setAt] = useState<{ readonly lane: string; readonly item: string }>();
  const lanesRef = useRef<HTMLDivElement>(null);
  const ruler = useRef<HTMLDivElement>(null);
  const width = useWidth(ruler);
  const stretches = useMemo(() => stretchesOf(model, nowMs), [model, nowMs]);
  const view = useMemo(
    () => viewOf(stretches, range, Math.max(1, width), isFollowing ? nowMs : undefined),
    [stretches, range, width, isFollowing, nowMs],
  );
  const selected = useMemo(() => selectedPlace(model.lanes, selection), [model.lanes, selection]);
  const active = useMemo(() => placeOf(model.lanes, at), [model.lanes, at]);
  const turn = model.turns.findLast(
    ({ messageId }) => messageId !== undefined && messageId === selected?.item.messageId,
  );

  const timeOf = ({ startMs, endMs }: Item) => ({ startMs, endMs: endMs ?? nowMs });
  const show = (next: Range, as: Preset = next === undefined ? "whole" : "none") => {
    change((before) => ({ ...before, range: next, preset: as }));
  };
  const pan = (px: number) => {
    setFollowing(false);
    show(panned(view, px));
  };
  const zoom = (factor: number, x: number) => show(zoomed(view, factor, x));
  // Zooming by a button or a key keeps now in view while it is followed, and else the middle.
  const zoomBy = (factor: number) => zoom(factor, isFollowing ? view.width - 16 : view.width / 2);
  const follow = () => {
    setFollowing(!isFollowing);
    if (isFollowing)
      show(range === undefined ? undefined : { leftMs: view.axis.msOf(view.left), pxPerMs: view.pxPerMs }, preset);
  };
  const choose = (as: Preset) => {
    if (as === "whole") return show(undefined);
    const shown =
      as === "today" ? { startMs: startOfDay(nowMs), endMs: nowMs } : turnTime(turn ?? model.turns.at(-1), nowMs);
    if (shown === undefined) return;
    setFollowing(false);
    show(rangeAround(view, { startMs: Math.max(shown.startMs, model.startMs), endMs: shown.endMs }), as);
  };
  const zoomToSelected = () => {
    if (selected === undefined) return;
    setFollowing(false);
    show(rangeAround(view, timeOf(selected.item)));
  };
  // The same functions for all renders: what stays as it is while the axis moves is not drawn again.
  const latest = useRef({ choose, zoomBy, pan, follow, zoomToSelected, width: view.width });
  latest.current = { choose, zoomBy, pan, follow, zoomToSelected, width: view.width };
  const steady = useMemo(
    () => ({
      onPreset: (as: Preset) => latest.current.choose(as),
      onZoom: (factor: number) => latest.current.zoomBy(factor),
      onPan: (part: number) => latest.current.pan(part * latest.current.width),
      onFollow: () => latest.current.follow(),
      onZoomToSelected: () => latest.current.zoomToSelected(),
    }),
    [],
  );
  useGestures(lanesRef, {
    pan,
    // What is under the pointer stays there, so now cannot.
    zoom: (factor, x) => {
      setFollowing(false);
      zoom(factor, x);
    },
    labelsPx: () => (lanesRef.current?.clientWidth ?? width) - width - GUTTER_PX,
  });
  useActions([
    { label: "Zoom in", group: "Timeline", keys: "+ =", run: () => zoomBy(ZOOM_STEP) },
    { label: "Zoom out", group: "Timeline", keys: "-", run: () => zoomBy(1 / ZOOM_STEP) },
    { label: "Follow now", group: "Timeline", keys: "f", run: follow },
    { label: "Earlier", group: "Timeline", keys: "Shift+ArrowLeft", run: () => pan(-PAN_STEP * view.width) },
    { label: "Later", group: "Timeline", keys: "Shift+ArrowRight", run: () => pan(PAN_STEP * view.width) },
  ]);
  useWanted(data, view, nowMs, selection.trace ?? turn?.traceIds[0]);

  const reveal = (place: Place) => {
    const next = rangeWith(view, range, timeOf(place.item));
    if (next !== range) {
      setFollowing(false);
      show(next);
    }
  };
  useReveal(selection, selected, lanesRef, reveal);
  const pick = (place: Place) => {
    const picked = selectionOf(place);
    onSelect(selecting(selection, selectsSame(picked, selection) ? {} : picked));
  };
  const goTo = (place: Place | undefined) => {
    if (place === undefined) return;
    reveal(place);
    const list = lanesRef.current?.querySelectorAll<HTMLElement>("[data-lane-list]") ?? [];
    [...list].find(({ dataset }) => dataset.laneList === place.lane.id)?.focus();
    // After the focus, which by itself enters the lane at another item.
    setAt({ lane: place.lane.id, item: place.item.id });
  };
  /** Where the keyboard enters a lane. */
  const entryOf = (lane: Lane): Place | undefined => {
    if (selected?.lane.id === lane.id) return selected;
    const item = nearest(lane.items, view.axis.msOf(view.left));
    return item && { lane, item };
  };
  const onKeyDown = (event: KeyboardEvent, lane: Lane) => {
    if (event.shiftKey || event.ctrlKey || event.metaKey || event.altKey) return;
    // A pointer gives the focus without an item.
    const here = active?.lane.id === lane.id ? active : entryOf(lane);
    if (here === undefined) return;
    if (event.key === "Enter" || event.key === " ") pick(here);
    else if (event.key.startsWith("Arrow") || event.key === "Home" || event.key === "End") {
      goTo(moved(model.lanes, here, event.key));
    } else return;
    event.preventDefault();
  };
  const enter = (lane: Lane) => {
    const entry = active?.lane.id === lane.id ? undefined : entryOf(lane);
    if (entry !== undefined) setAt({ lane: lane.id, item: entry.item.id });
  };
  const tabStop = active?.lane.id ?? selected?.lane.id ?? model.lanes.find(({ items }) => items.length > 0)?.id;
  const kinds = useMemo(() => kindsOf(model.lanes), [model.lanes]);
  const isWhole = view.pxPerMs <= view.fit.pxPerMs * 1.0001;
  const common = { view, model, nowMs };
  return (
    <>
      <Toolbar
        preset={preset}
        hasToday={startOfDay(nowMs) > model.startMs}
        hasTurn={model.turns.length > 0}
        isFollowing={isFollowing}
        isWhole={isWhole}
        kinds={kinds}
        onPreset={steady.onPreset}
        onZoom={steady.onZoom}
        onPan={steady.onPan}
        onFollow={steady.onFollow}
      />
      <div className="tl-maprow">
        <Minimap
          {...common}
          width={Math.max(1, width)}
          onMove={(ms) => {
            const x = view.axis.xOf(ms) - view.left;
            pan(x - view.width / 2);
          }}
        />
      </div>
      <div className="tl-chart">
        <div className="tl-lanes" ref={lanesRef} onPointerLeave={() => setHovered(undefined)}>
          <AxisRow view={view} nowMs={nowMs} />
          <div className="tl-ruler">
            <div ref={ruler} />
          </div>
          {width > 0 &&
            model.lanes.map((lane) => (
              <LaneRow
                key={lane.id}
                lane={lane}
                view={view}
                nowMs={nowMs}
                selected={selected?.lane.id === lane.id ? selected.item : undefined}
                isChosenChannel={lane.kind === "channel" && lane.of !== undefined && lane.of === selection.channel}
                active={active?.lane.id === lane.id ? active.item : undefined}
                hovered={hovered?.lane.id === lane.id ? hovered.item : undefined}
                isTabStop={tabStop === lane.id}
                onFocus={() => enter(lane)}
                onBlur={() => setAt(undefined)}
                onKeyDown={(event) => onKeyDown(event, lane)}
                onHover={(item) => setHovered((before) => (before?.item === item ? before : item && { lane, item }))}
                onPick={(item) => pick({ lane, item })}
                onChannel={() => onSelect(withChannel(selection, lane.of))}
              />
            ))}
          <TokensRow view={view} model={model} />
          <CostRow {...common} totalUsd={now?.cost_usd ?? null} isPartial={now?.isCostPartial ?? false} />
          <Folds {...common} />
        </div>
        {data.hasOlderChildren && <p className="tl-more">Older child sessions are not shown.</p>}
      </div>
      {selected !== undefined && (
        <Panel {...selected} turn={turn} nowMs={nowMs} sessionId={sessionId} onZoom={steady.onZoomToSelected} />
      )}
    </>
  );
}

/** What of a session's time was in view. */
interface Zoom {
  readonly range: Range;
  readonly preset: Preset;
  readonly isFollowing: boolean;
}
const ZOOMS = new Kept<Zoom>();
const WHOLE: Zoom = { range: undefined, preset: "whole", isFollowing: true };

/** Right of the tracks, px: `--s4`. */
const GUTTER_PX = 16;

function startOfDay(ms: number): number {
  return new Date(ms).setHours(0, 0, 0, 0);
}

function turnTime(turn: Model["turns"][number] | undefined, nowMs: number) {
  return turn === undefined ? undefined : { startMs: turn.startMs, endMs: turn.endMs ?? Math.max(nowMs, turn.startMs) };
}

function placeOf(
  lanes: readonly Lane[],
  at: { readonly lane: string; readonly item: string } | undefined,
): Place | undefined {
  const lane = lanes.find(({ id }) => id === at?.lane);
  const item = lane?.items.find(({ id }) => id === at?.item);
  return lane === undefined || item === undefined ? undefined : { lane, item };
}

function kindsOf(lanes: readonly Lane[]) {
  const used = new Set(
    lanes.flatMap(({ items }) => items.map(({ kind, state }) => (state === "lost" ? "lost" : kind))),
  );
  return KINDS.filter((kind) => used.has(kind) && kind !== "other");
}

function withChannel({ channel, ...rest }: Selection, chosen: string | undefined): Selection {
  return channel === chosen || chosen === undefined ? rest : { ...rest, channel: chosen };
}

/** Brings what was selected into view, once it is known: once for each selection. */
function useReveal(
  selection: Selection,
  selected: Place | undefined,
  lanes: React.RefObject<HTMLElement | null>,
  reveal: (place: Place) => void,
): void {
  const { message, span, trace } = selection;
  const key = message === undefined && span === undefined ? trace : `${message ?? ""} ${span ?? ""}`;
  const revealed = useRef<string>(undefined);
  const latest = useRef(reveal);
  latest.current = reveal;
  useEffect(() => {
    if (selected === undefined || revealed.current === key) return;
    // The turn shows until its spans are read; then the span does.
    if (selection.span === undefined || selected.item.spanId === selection.span) revealed.current = key;
    latest.current(selected);
    const rows = lanes.current?.querySelectorAll<HTMLElement>("[data-lane]") ?? [];
    [...rows].find(({ dataset }) => dataset.lane === selected.lane.id)?.scrollIntoView({ block: "nearest" });
  }, [key, selected, selection.span, lanes]);
}
