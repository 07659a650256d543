/** The rows of a conversation, of which only those near the window exist. It stays at its end only while a reader is there. */
import { useVirtualizer } from "@tanstack/react-virtual";
import {
  type ReactNode,
  type Ref,
  useEffect,
  useImperativeHandle,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from "react";
import { Kept } from "../app/kept.ts";
import { Button } from "../ui/button.tsx";
import { Scrollable } from "../ui/scrollable.tsx";
import { idOf, useRowOptions } from "../ui/use-row-options.ts";
import { type ListPlace, offsetOf, placeOf } from "./list-place.ts";
import { rowHeight } from "./row-height.ts";
import { moveFocus } from "./row-keys.ts";
import type { Row } from "./rows.ts";
import { useFollowEnd } from "./use-follow-end.ts";

export interface RowListHandle {
  toEnd(): void;
  toStart(): void;
  /** Brings a row into view, for example the request that a key answers. */
  show(rowId: string): void;
}

interface RowListProps {
  readonly handle: Ref<RowListHandle>;
  /** Where the list is: a reader who comes back finds it as they left it. */
  readonly place: string;
  readonly rows: readonly Row[];
  /** The message that is selected: it is brought into view when it becomes so. */
  readonly selected: string | undefined;
  readonly older: "none" | "more" | "loading" | "failed";
  readonly onOlder: () => void;
  /** The selected message is on no page that is loaded. */
  readonly onMissing: (jobId: string) => void;
  readonly children: (row: Row) => ReactNode;
}

/** So near to the start, px, older messages are read. */
const NEAR_START_PX = 600;

const PLACES = new Kept<ListPlace | null>();

export function RowList({ handle, place, rows, selected, older, onOlder, onMissing, children }: RowListProps) {
  const scroller = useRef<HTMLElement>(null);
  const [kept, setKept] = useState<string>();
  const content = useRef<HTMLOListElement>(null);
  const [left] = useState(() => {
    const kept = PLACES.get(place) ?? undefined;
    const offsetPx = kept && offsetOf(kept, rows);
    return kept && offsetPx !== undefined ? { offsetPx, measured: kept.measured } : undefined;
  });
  const end = useFollowEnd(scroller, content, left === undefined);
  const keptIndex = kept === undefined ? -1 : rows.findIndex(({ id }) => id === kept);
  const virtual = useVirtualizer({
    ...useRowOptions(rows, idOf, keptIndex),
    getScrollElement: () => scroller.current,
    estimateSize: (index) => rowHeight(rows[index]),
    overscan: 8,
    paddingEnd: 8,
    // Rows above may come and grow: what is read stays where it is.
    anchorTo: "end",
    ...(left !== undefined && { initialOffset: left.offsetPx, initialMeasurementsCache: left.measured }),
  });
  const now = useRef({ virtual, isAtEnd: end.isAtEnd });
  now.current = { virtual, isAtEnd: end.isAtEnd };
  useLayoutEffect(() => {
    // The list scrolls by itself to where it begins only if it knows its rows by then.
    if (left !== undefined && scroller.current !== null) scroller.current.scrollTop = left.offsetPx;
    return () => {
      const { virtual, isAtEnd } = now.current;
      // Whoever was at the end is to be there again, whatever came meanwhile.
      PLACES.set(place, isAtEnd ? null : placeOf(virtual));
    };
  }, [left, place]);
  const show = (index: number, align: "start" | "center") => {
    if (index < 0) return;
    end.leave();
    virtual.scrollToIndex(index, { align });
  };
  useImperativeHandle(handle, () => ({
    toEnd: end.follow,
    toStart: () => show(0, "start"),
    show: (rowId) =>
      show(
        rows.findIndex(({ id }) => id === rowId),
        "center",
      ),
  }));
  // Whoever comes back to a place has seen what is selected there.
  const wasShown = useRef(left === undefined ? undefined : selected);
  useEffect(() => {
    if (selected === undefined || wasShown.current === selected) return;
    const index = rows.findIndex(({ jobId }) => jobId === selected);
    if (index < 0) onMissing(selected);
    else {
      wasShown.current = selected;
      const isInView = virtual
        .getVirtualItems()
        .some((item) => item.index === index && item.start >= (virtual.scrollOffset ?? 0));
      // A list that has just come stands at its start, and is about to go to its end.
      if (!isInView || end.isUnderway()) show(index, "start");
    }
  });
  const items = virtual.getVirtualItems();
  const first = items[0]?.index ?? 0;
  // At first it is at its end, and not yet measured.
  const isShort = virtual.getTotalSize() <= (virtual.scrollRect?.height ?? 0);
  const isNearStart = first === 0 && (virtual.scrollOffset ?? 0) < NEAR_START_PX && (!end.isAtEnd || isShort);
  useEffect(() => {
    if (isNearStart && older === "more") onOlder();
  }, [isNearStart, older, onOlder]);
  const below = useUnseen(rows, end.isAtEnd);
  return (
    <div className="talk-list">
      <Scrollable
        as="section"
        label="Messages and turns"
        ref={scroller}
        className="talk-scroll"
        aria-busy={older === "loading" || undefined}
        onKeyDown={(event) => moveFocus(event)}
        onFocus={(event) => setKept(event.target.closest<HTMLElement>("[data-key]")?.dataset.key)}
        onBlur={() => setKept(undefined)}
      >
        {older === "loading" && <p className="talk-older m small">Older messages are being read…</p>}
        {older === "failed" && (
          <p className="talk-older small">
            Older messages could not be read. <Button onClick={onOlder}>Try again</Button>
          </p>
        )}
        <ol ref={content} className="talk-rows" style={{ height: `${virtual.getTotalSize()}px` }}>
          {items.map((item) => {
            const row = rows[item.index];
            if (row === undefined) return null;
            return (
              <li
                key={item.key}
                ref={virtual.measureElement}
                data-index={item.index}
                data-key={row.id}
                data-kind={row.kind}
                aria-setsize={rows.length}
                aria-posinset={item.index + 1}
                style={{ transform: `translateY(${item.start}px)` }}
              >
                {children(row)}
              </li>
            );
          })}
        </ol>
      </Scrollable>
      {!end.isAtEnd && (
        <Button className="talk-below" icon="down" onClick={end.follow}>
          {below === 0 ? "To the end" : `${below} new below`}
        </Button>
      )}
    </div>
  );
}

/** Returns how many rows with something to read have come below since the reader left the end. */
function useUnseen(rows: readonly Row[], isAtEnd: boolean): number {
  const lastSeen = useRef<string>(undefined);
  if (isAtEnd) lastSeen.current = rows.findLast(isReadable)?.id;
  const last = lastSeen.current;
  return useMemo(() => {
    const index = isAtEnd ? -1 : rows.findLastIndex(({ id }) => id === last);
    return index < 0 ? 0 : rows.slice(index + 1).filter(isReadable).length;
  }, [rows, isAtEnd, last]);
}

function isReadable({ kind }: Row): boolean {
  return !QUIET_ROWS.includes(kind);
}

/** Rows that say nothing by themselves. */
const QUIET_ROWS: readonly Row["kind"][] = ["head", "now", "gap", "end", "life", "rest"];
