/** One lane: its bars on a canvas, and the same as a list for the keyboard and for screen readers. */
import { Link } from "@tanstack/react-router";
import { type KeyboardEvent, type MouseEvent, useId, useLayoutEffect, useMemo, useRef } from "react";
import { KIND_LOOKS } from "../ui/kind.tsx";
import { OutsideText } from "../ui/outside-text.tsx";
import { describe, sentenceOf } from "./describe.ts";
import { drawBars, surfaceOf } from "./draw.ts";
import { type Bar, barAt, barOf, barsOf, shapeOf } from "./geometry.ts";
import type { Item, Lane } from "./items.ts";
import { usePalette } from "./palette.ts";
import type { View } from "./view.ts";

interface LaneRowProps {
  readonly lane: Lane;
  readonly view: View;
  readonly nowMs: number;
  /** The selected item, if it is of this lane. */
  readonly selected: Item | undefined;
  readonly isChosenChannel: boolean;
  /** The item that the keyboard is at, if it is of this lane. */
  readonly active: Item | undefined;
  /** The item under the pointer, if it is of this lane. */
  readonly hovered: Item | undefined;
  /** Whether Tab leads here. */
  readonly isTabStop: boolean;
  readonly onFocus: () => void;
  readonly onBlur: () => void;
  readonly onKeyDown: (event: KeyboardEvent) => void;
  readonly onHover: (item: Item | undefined) => void;
  readonly onPick: (item: Item) => void;
  readonly onChannel: () => void;
}

export function LaneRow(props: LaneRowProps) {
  const { lane, view, nowMs, active, hovered, selected } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  const palette = usePalette();
  const shape = shapeOf(lane);
  const bars = useMemo(() => barsOf(lane, view, nowMs), [lane, view, nowMs]);
  useLayoutEffect(() => {
    const surface = canvas.current && surfaceOf(canvas.current, palette, view.width, shape.height);
    if (surface) drawBars(surface, lane, bars, view);
  }, [bars, lane, palette, view, shape.height]);
  const at = (event: MouseEvent): Item | undefined => {
    const box = event.currentTarget.getBoundingClientRect();
    return barAt(bars, event.clientX - box.left, event.clientY - box.top)?.item;
  };
  const shown = hovered ?? active;
  return (
    <div className="tl-lane" data-lane={lane.id}>
      <LaneLabel {...props} />
      <div className="tl-track" style={{ height: shape.height }}>
        <canvas ref={canvas} style={{ width: view.width, height: shape.height }} />
        {bars
          .filter(({ item }) => item.endMs === undefined)
          .map((bar) => (
            <Tip key={bar.item.id} bar={bar} lane={lane} />
          ))}
        {selected !== undefined && <Ring bar={barOf(selected, shape, view, nowMs)} look="tl-selected" />}
        {active !== undefined && <Ring bar={barOf(active, shape, view, nowMs)} look="tl-ring" />}
        <LaneList {...props} at={at} />
        {shown !== undefined && (
          <Hint lane={lane} item={shown} bar={barOf(shown, shape, view, nowMs)} view={view} nowMs={nowMs} />
        )}
      </div>
    </div>
  );
}

function LaneLabel({ lane, isChosenChannel, onChannel }: LaneRowProps) {
  const text = (
    <>
      <OutsideText text={lane.title} className="cut" max={120} />
      {lane.note !== "" && <OutsideText text={lane.note} className="tl-note cut" max={120} />}
    </>
  );
  if (lane.kind === "child" && lane.of !== undefined) {
    return (
      <Link className="tl-label" to="/sessions/$sessionId" params={{ sessionId: lane.of }}>
        {text}
      </Link>
    );
  }
  if (lane.kind !== "channel" || lane.of === undefined) return <div className="tl-label">{text}</div>;
  return (
    <button
      type="button"
      className="tl-label"
      aria-pressed={isChosenChannel}
      onClick={onChannel}
      title={isChosenChannel ? "Show all channels" : "Show only this channel"}
    >
      {text}
    </button>
  );
}

/** The arrow of what is open, at its end. */
function Tip({ bar, lane }: { readonly bar: Bar; readonly lane: Lane }) {
  const { item, x, width, y, height } = bar;
  if (lane.kind === "lifecycle" && item.kind === "other") return null;
  const size = item.isShell ? 4 : Math.min(11, height / 2 + 1);
  const colour = item.state === "ok" ? KIND_LOOKS[item.kind].bar : "t-failed";
  return (
    <i
      className={`tl-tip ${colour}`}
      style={{ left: x + width, top: y + height / 2 - size, borderBlockWidth: size }}
      aria-hidden="true"
    />
  );
}

/** A frame around a bar: it is selected, or the keyboard is at it. */
function Ring({ bar, look }: { readonly bar: Bar; readonly look: string }) {
  const { x, y, width, height } = bar;
  return (
    <i className={look} aria-hidden="true" style={{ left: x - 3, top: y - 3, width: width + 6, height: height + 6 }} />
  );
}

/** Name, duration and exact time of what the pointer or the keyboard is at. */
function Hint(props: {
  readonly lane: Lane;
  readonly item: Item;
  readonly bar: Bar;
  readonly view: View;
  readonly nowMs: number;
}) {
  const { what, name, duration, at, state } = describe(props.lane, props.item, props.nowMs);
  const { bar, view } = props;
  const middle = Math.min(Math.max(bar.x, 0) + 8, view.width - 8);
  const isLeft = middle < view.width / 2;
  return (
    <div
      className="tooltip tl-hint"
      aria-hidden="true"
      style={{ top: bar.y + bar.height + 6, ...(isLeft ? { left: middle - 8 } : { right: view.width - middle - 8 }) }}
    >
      {what !== "" && <span className={KIND_LOOKS[props.item.kind].text}>{what} </span>}
      <OutsideText text={name} className="tl-name" max={200} />
      {state !== "" && <span className="t-failed"> {state}</span>}
      <div className="m2">
        {duration === "" ? "" : `${duration} · `}
        {at}
      </div>
    </div>
  );
}

interface LaneListProps extends LaneRowProps {
  /** Returns the item at a pointer. */
  readonly at: (event: MouseEvent) => Item | undefined;
}

/** What the lane shows, in order. One item exists at a time: there may be thousands. It covers the canvas, and so has its pointer, too. */
function LaneList({ at, ...props }: LaneListProps) {
  const { lane, active, hovered, selected, nowMs, isTabStop, onFocus, onBlur, onKeyDown, onHover, onPick } = props;
  const id = useId();
  const { items } = lane;
  if (items.length === 0) return null;
  const index = active === undefined ? -1 : items.indexOf(active);
  const shown = items[Math.max(0, index)] as Item;
  return (
    <div
      className="tl-list"
      role="listbox"
      aria-orientation="horizontal"
      aria-label={`${lane.title}${lane.note === "" ? "" : `, ${lane.note}`}: ${items.length} ${items.length === 1 ? "item" : "items"}`}
      aria-activedescendant={index < 0 ? undefined : `${id}-${index}`}
      tabIndex={isTabStop ? 0 : -1}
      // A pointer that goes to an empty place selects nothing.
      onFocus={(event) => event.currentTarget.matches(":focus-visible") && onFocus()}
      onBlur={onBlur}
      onKeyDown={onKeyDown}
      onPointerMove={(event) => event.buttons === 0 && onHover(at(event))}
      onPointerLeave={() => onHover(undefined)}
      onClick={(event) => {
        const item = at(event);
        if (item !== undefined) onPick(item);
      }}
      style={{ cursor: hovered === undefined ? undefined : "pointer" }}
      data-lane-list={lane.id}
    >
      <div
        id={`${id}-${Math.max(0, index)}`}
        role="option"
        tabIndex={-1}
        className="sr"
        aria-selected={shown.id === selected?.id}
        aria-posinset={Math.max(0, index) + 1}
        aria-setsize={items.length}
      >
        {sentenceOf(lane, shown, nowMs)}
      </div>
    </div>
  );
}
