/**
 * The waterfall: a treegrid of which only the rows on the screen exist. The tree keeps the focus; the active row is named by
 * `aria-activedescendant`, and always exists.
 */
import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, type MouseEvent, type RefObject, useEffect, useLayoutEffect, useRef } from "react";
import { useRowOptions } from "../ui/use-row-options.ts";
import { useWidth } from "../ui/use-width.ts";
import { Axis } from "./axis.tsx";
import type { Item } from "./model.ts";
import type { Row } from "./rows.ts";
import { panned, ticksOf, type View, zoomed } from "./scale.ts";
import { LinkRowView, type RowContext, rowId, SpanRowView } from "./waterfall-row.tsx";

/** The height of a row, px. */
const ROW_PX = 24;
const OVERSCAN = 8;
/** A tick's text and the space around it, px. */
const TICK_PX = 92;
const WHEEL_ZOOM = 0.002;

interface WaterfallProps {
  readonly tree: RefObject<HTMLDivElement | null>;
  readonly rows: readonly Row[];
  /** The index of each row by its key. */
  readonly indexOf: ReadonlyMap<string, number>;
  readonly context: RowContext;
  /** The longest window. */
  readonly bounds: View;
  readonly originUs: number;
  readonly onView: (view: View) => void;
  readonly onActive: (key: string) => void;
  readonly onFold: (row: Row, isFolded: boolean) => void;
  readonly onTies: (row: Row) => void;
  readonly onClose: (row: Row) => void;
  readonly onGoto: (row: Row) => void;
  readonly onOpen: () => void;
  /** Called with the items of the rows that exist. */
  readonly onShown: (items: readonly Item[]) => void;
}

export function Waterfall(props: WaterfallProps) {
  const { tree, rows, indexOf, context, bounds, originUs, onView, onShown } = props;
  const { view, activeKey } = context;
  const axis = useRef<HTMLDivElement>(null);
  const axisPx = Math.max(1, useWidth(axis));
  const activeIndex = activeKey === undefined ? undefined : indexOf.get(activeKey);
  const virtual = useVirtualizer({
    ...useRowOptions(rows, keyOf, activeIndex),
    getScrollElement: () => tree.current,
    estimateSize: () => ROW_PX,
    overscan: OVERSCAN,
    scrollPaddingStart: 2 * ROW_PX,
    scrollPaddingEnd: ROW_PX,
    scrollMargin: ROW_PX,
  });
  useAnchor(tree, rows, indexOf);

  // The active row is brought into sight when it changes, and not when other rows come.
  const scrolledTo = useRef<string>(undefined);
  useLayoutEffect(() => {
    if (activeKey === undefined || activeIndex === undefined || scrolledTo.current === activeKey) return;
    scrolledTo.current = activeKey;
    virtual.scrollToIndex(activeIndex, { align: "auto" });
  }, [activeKey, activeIndex, virtual]);

  const shown = virtual.getVirtualItems();
  const first = shown[0]?.index ?? 0;
  const last = shown.at(-1)?.index ?? 0;
  useEffect(() => {
    const items = rows.slice(first, last + 1).flatMap((row) => (row.type === "span" ? [row.item] : []));
    onShown(items);
  }, [rows, first, last, onShown]);

  useWheel(tree, axis, (zoom, pan, at) => {
    onView(zoom === 1 ? panned(view, bounds, pan) : zoomed(view, bounds, zoom, at));
  });

  const { stepUs, ticks } = ticksOf(view, originUs, axisPx / TICK_PX);
  const widthUs = view.endUs - view.startUs;
  const lines = {
    "--step": `${(stepUs / widthUs) * axisPx}px`,
    "--first": `${((ticks[0]?.left ?? 0) / 100) * axisPx}px`,
  };

  const move = (index: number) => {
    const row = rows[Math.min(rows.length - 1, Math.max(0, index))];
    if (row !== undefined) props.onActive(row.key);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.target !== event.currentTarget || event.ctrlKey || event.metaKey || event.altKey) return;
    if (pressed(event, rows, activeIndex, move, Math.max(1, last - first - 2 * OVERSCAN), props))
      event.preventDefault();
  };
  const onClick = (event: MouseEvent) => {
    const target = event.target as Element;
    const index = target.closest<HTMLElement>("[data-index]")?.dataset.index;
    const row = index === undefined ? undefined : rows[Number(index)];
    if (row === undefined) return;
    tree.current?.focus({ preventScroll: true });
    scrolledTo.current = row.key;
    if (target.closest("[data-goto]") !== null) return props.onGoto(row);
    if (target.closest("[data-close]") !== null) return props.onClose(row);
    props.onActive(row.key);
    if (target.closest("[data-ties]") !== null) props.onTies(row);
    else if (target.closest("[data-twist]") !== null && row.type === "span") props.onFold(row, row.isExpanded === true);
  };
  return (
    <div
      ref={tree}
      className="wf-tree"
      role="treegrid"
      aria-label="Spans"
      aria-rowcount={rows.length + 1}
      aria-colcount={3}
      aria-activedescendant={activeIndex === undefined ? undefined : rowId(activeIndex)}
      tabIndex={0}
      onKeyDown={onKeyDown}
      onClick={onClick}
      style={lines as React.CSSProperties}
    >
      <div role="rowgroup" className="wf-heads">
        <Axis
          axis={axis}
          view={view}
          ticks={ticks.filter(({ left }) => ((100 - left) / 100) * axisPx > TICK_PX / 2)}
          originUs={originUs}
          onSelect={onView}
        />
      </div>
      <div role="rowgroup" className="wf-rows" style={{ height: virtual.getTotalSize() }}>
        {shown.map(({ index, key, start }) => {
          const row = rows[index];
          if (row === undefined) return null;
          const top = start - ROW_PX;
          return row.type === "span" ? (
            <SpanRowView key={key} row={row} index={index} top={top} context={context} />
          ) : (
            <LinkRowView key={key} row={row} index={index} top={top} context={context} />
          );
        })}
      </div>
    </div>
  );
}

/** Does what a key does in a tree. @returns whether it does something */
function pressed(
  event: KeyboardEvent,
  rows: readonly Row[],
  activeIndex: number | undefined,
  move: (index: number) => void,
  page: number,
  { onFold, onClose, onOpen, onTies }: WaterfallProps,
): boolean {
  const at = activeIndex ?? -1;
  const row = rows[at];
  switch (event.key) {
    case "ArrowDown":
      move(at + 1);
      return true;
    case "ArrowUp":
      move(at - 1);
      return true;
    case "Home":
      move(0);
      return true;
    case "End":
      move(rows.length - 1);
      return true;
    case "PageDown":
      move(at + page);
      return true;
    case "PageUp":
      move(at - page);
      return true;
    case "ArrowRight":
      if (row?.type === "span" && row.isExpanded === false) onFold(row, false);
      else if (row?.type === "span" && row.isExpanded === undefined) onTies(row);
      else move(at + 1);
      return true;
    case "ArrowLeft":
      if (row?.type === "link") onClose(row);
      else if (row?.isExpanded === true) onFold(row, true);
      else move(parentIndex(rows, at));
      return true;
    case "Enter":
      if (row !== undefined) onOpen();
      return true;
    default:
      return false;
  }
}

function parentIndex(rows: readonly Row[], at: number): number {
  const level = rows[at]?.level ?? 1;
  for (let above = at - 1; above >= 0; above--) if ((rows[above]?.level ?? 1) < level) return above;
  return Math.max(0, at);
}

function keyOf({ key }: Row): string {
  return key;
}

/** Keeps the topmost row in its place when rows come or go above it. */
function useAnchor(
  tree: RefObject<HTMLElement | null>,
  rows: readonly Row[],
  indexOf: ReadonlyMap<string, number>,
): void {
  const shown = useRef(rows);
  useLayoutEffect(() => {
    const node = tree.current;
    const before = shown.current;
    shown.current = rows;
    if (node === null || before === rows) return;
    const topIndex = Math.floor(node.scrollTop / ROW_PX);
    const top = before[topIndex];
    const index = top === undefined ? undefined : indexOf.get(top.key);
    if (index !== undefined && index !== topIndex) node.scrollTop += (index - topIndex) * ROW_PX;
  }, [tree, rows, indexOf]);
}

/** Ctrl and the wheel zoom at the pointer; a sideways wheel moves. */
function useWheel(
  tree: RefObject<HTMLElement | null>,
  axis: RefObject<HTMLElement | null>,
  onWheel: (zoom: number, pan: number, at: number) => void,
): void {
  const latest = useRef(onWheel);
  latest.current = onWheel;
  useEffect(() => {
    const node = tree.current;
    if (node === null) return;
    const hear = (event: WheelEvent) => {
      const box = axis.current?.getBoundingClientRect();
      if (box === undefined) return;
      const at = Math.min(1, Math.max(0, (event.clientX - box.left) / Math.max(1, box.width)));
      const sideways = event.shiftKey && event.deltaX === 0 ? event.deltaY : event.deltaX;
      if (event.ctrlKey || event.metaKey) latest.current(Math.exp(-event.deltaY * WHEEL_ZOOM), 0, at);
      else if (Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY)) {
        latest.current(1, sideways / Math.max(1, box.width), at);
      } else return;
      event.preventDefault();
    };
    // React's own listener is passive, so that it could not keep the browser from zooming the page.
    node.addEventListener("wheel", hear, { passive: false });
    return () => node.removeEventListener("wheel", hear);
  }, [tree, axis]);
}
