/**
 * The waterfall: a treegrid of which only the rows on the screen exist. The focus is on a row, the active one if there is one: it
 * always exists.
 */
import { useVirtualizer } from "@tanstack/react-virtual";
import {
  type KeyboardEvent,
  type MouseEvent,
  type RefObject,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
} from "react";
import { usePalette } from "../timeline/palette.ts";
import { useRowOptions } from "../ui/use-row-options.ts";
import { useWidth } from "../ui/use-width.ts";
import { Axis } from "./axis.tsx";
import type { Item } from "./item.ts";
import type { Row } from "./rows.ts";
import { panned, type Tick, ticksOf, type View, zoomed } from "./scale.ts";
import { useWheel } from "./use-wheel.ts";
import { LinkRowView, type NameContext, ROW_PX, SpanRowView, type TimeContext } from "./waterfall-row.tsx";

const OVERSCAN = 6;
/** The space beside the line of bars where they have no column, px: `--s3` on both sides. */
const SLIM_GAPS_PX = 24;
/** A tick's text and the space around it, px. */
const TICK_PX = 92;
/** So long rows rest until what is on the screen is told, ms. */
const REST_MS = 100;

/** What of the time axis the page decides. */
export type ShownTime = Pick<TimeContext, "view" | "nowUs" | "isCriticalShown">;

interface WaterfallProps {
  /** The treegrid; focusing it focuses a row. */
  readonly tree: RefObject<HTMLTableElement | null>;
  readonly rows: readonly Row[];
  /** The index of each row by its key. */
  readonly indexOf: ReadonlyMap<string, number>;
  readonly activeKey: string | undefined;
  readonly names: NameContext;
  /** The window, now, and whether the critical path is drawn. The same object until any of it changes. */
  readonly shownTime: ShownTime;
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
  /** Called with the items of the rows that exist, once they rest. */
  readonly onShown: (items: readonly Item[]) => void;
}

export function Waterfall(props: WaterfallProps) {
  const { tree, rows, indexOf, activeKey, names, shownTime, bounds, originUs, onView } = props;
  const { view } = shownTime;
  const scroller = useRef<HTMLDivElement>(null);
  const axis = useRef<HTMLTableCellElement>(null);
  const axisPx = Math.max(1, useWidth(axis));
  const treePx = useWidth(scroller);
  const palette = usePalette();
  const time = useMemo((): TimeContext => {
    const isSlim = axisPx === 1;
    return { ...shownTime, originUs, palette, isSlim, trackPx: isSlim ? Math.max(1, treePx - SLIM_GAPS_PX) : axisPx };
  }, [shownTime, originUs, palette, axisPx, treePx]);
  const activeIndex = activeKey === undefined ? undefined : indexOf.get(activeKey);
  const virtual = useVirtualizer({
    ...useRowOptions(rows, keyOf, activeIndex),
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PX,
    overscan: OVERSCAN,
    scrollPaddingStart: 2 * ROW_PX,
    scrollPaddingEnd: ROW_PX,
    scrollMargin: ROW_PX,
  });
  useAnchor(scroller, rows, indexOf);

  // The active row is brought into sight when it changes, and not when other rows come.
  const scrolledTo = useRef<string>(undefined);
  useLayoutEffect(() => {
    if (activeKey === undefined || activeIndex === undefined || scrolledTo.current === activeKey) return;
    scrolledTo.current = activeKey;
    virtual.scrollToIndex(activeIndex, { align: "auto" });
  }, [activeKey, activeIndex, virtual]);
  useFocusOnActive(tree, activeIndex);

  const shown = virtual.getVirtualItems();
  const first = shown[0]?.index ?? 0;
  const last = shown.at(-1)?.index ?? 0;
  useShown(rows, first, last, props.onShown);

  useWheel(scroller, axis, (zoom, pan, at) => {
    onView(zoom === 1 ? panned(view, bounds, pan) : zoomed(view, bounds, zoom, at));
  });

  const { ticks } = ticksOf(view, originUs, axisPx / TICK_PX);
  const move = (index: number) => {
    const row = rows[Math.min(rows.length - 1, Math.max(0, index))];
    if (row !== undefined) props.onActive(row.key);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const isOnRow = event.target === event.currentTarget || (event.target as Element).matches("[data-index]");
    if (!isOnRow || event.ctrlKey || event.metaKey || event.altKey) return;
    if (pressed(event, rows, activeIndex, move, Math.max(1, last - first - 2 * OVERSCAN), props))
      event.preventDefault();
  };
  const onClick = (event: MouseEvent) => {
    const target = event.target as Element;
    const index = target.closest<HTMLElement>("[data-index]")?.dataset.index;
    const row = index === undefined ? undefined : rows[Number(index)];
    if (row === undefined) return;
    rowAt(tree, Number(index))?.focus({ preventScroll: true });
    scrolledTo.current = row.key;
    if (target.closest("[data-goto]") !== null) return props.onGoto(row);
    if (target.closest("[data-close]") !== null) return props.onClose(row);
    props.onActive(row.key);
    if (target.closest("[data-ties]") !== null) props.onTies(row);
    else if (target.closest("[data-twist]") !== null && row.type === "span") props.onFold(row, row.isExpanded === true);
  };
  const tabStop = activeIndex ?? first;
  return (
    <div ref={scroller} className="wf-tree">
      <Grid ticks={ticks} />
      <table
        ref={tree}
        className="wf-table"
        {...gridOf(rows.length)}
        onFocus={(event) => {
          if (event.target === event.currentTarget) rowAt(tree, tabStop)?.focus({ preventScroll: true });
        }}
        onKeyDown={onKeyDown}
        onClick={onClick}
      >
        <thead className="wf-heads">
          <Axis
            axis={axis}
            view={view}
            ticks={ticks.filter(({ left }) => ((100 - left) / 100) * axisPx > TICK_PX / 2)}
            originUs={originUs}
            onSelect={onView}
          />
        </thead>
        <tbody className="wf-rows" style={{ height: virtual.getTotalSize() }}>
          {shown.map(({ index, key, start }) => {
            const row = rows[index];
            if (row === undefined) return null;
            const frame = { index, top: start - ROW_PX, isActive: index === activeIndex, isTabStop: index === tabStop };
            return row.type === "span" ? (
              <SpanRowView key={key} row={row} names={names} time={time} {...frame} />
            ) : (
              <LinkRowView key={key} row={row} {...frame} />
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

/** What makes a table a treegrid, with its head as the first row: its rows have levels, and the focus. */
function gridOf(rowCount: number) {
  return { role: "treegrid", "aria-label": "Spans", "aria-rowcount": rowCount + 1, "aria-colcount": 3, tabIndex: -1 };
}

/** The lines of the ticks, behind all rows. */
function Grid({ ticks }: { readonly ticks: readonly Tick[] }) {
  return (
    <div className="wf-grid" aria-hidden="true">
      <div className="wf-row">
        <i />
        <i />
        <div className="wf-lines">
          {ticks.map(({ atUs, left }) => (
            <i key={atUs} style={{ left: `${left}%` }} />
          ))}
        </div>
      </div>
    </div>
  );
}

function rowAt(tree: RefObject<HTMLElement | null>, index: number): HTMLElement | null {
  return tree.current?.querySelector<HTMLElement>(`[data-index="${index}"]`) ?? null;
}

/** Moves the focus from row to row with the active one: if it is on a row, and not on the page's fields and buttons. */
function useFocusOnActive(tree: RefObject<HTMLElement | null>, activeIndex: number | undefined): void {
  useLayoutEffect(() => {
    const { activeElement } = document;
    if (activeIndex === undefined || !tree.current?.contains(activeElement)) return;
    const row = rowAt(tree, activeIndex);
    if (row !== activeElement) row?.focus({ preventScroll: true });
  }, [tree, activeIndex]);
}

/** Tells which items are on the screen: at first at once, and then whenever the rows have come to rest. */
function useShown(rows: readonly Row[], first: number, last: number, onShown: (items: readonly Item[]) => void): void {
  const hasTold = useRef(false);
  useEffect(() => {
    const tell = () => {
      hasTold.current = true;
      onShown(rows.slice(first, last + 1).flatMap((row) => (row.type === "span" ? [row.item] : [])));
    };
    const timer = setTimeout(tell, hasTold.current ? REST_MS : 0);
    return () => clearTimeout(timer);
  }, [rows, first, last, onShown]);
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
