/** A list of which only the rows near the window exist. Rows may have any height. */
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useRef } from "react";
import { idOf, useRowOptions } from "./use-row-options.ts";
import { useTopOf } from "./use-top-of.ts";

interface WindowRowsProps<Row> {
  readonly label: string;
  readonly rows: readonly Row[];
  /** The likely height of a row, px. */
  readonly height: number;
  /** The row that keeps existing wherever the window is, since it has the focus. */
  readonly kept?: string | undefined;
  readonly children: (row: Row) => ReactNode;
}

export function WindowRows<Row extends { readonly id: string }>(props: WindowRowsProps<Row>) {
  const { rows, height, kept } = props;
  const list = useRef<HTMLUListElement>(null);
  const top = useTopOf(list);
  const keptIndex = kept === undefined ? -1 : rows.findIndex(({ id }) => id === kept);
  const virtual = useWindowVirtualizer({
    ...useRowOptions(rows, idOf, keptIndex),
    estimateSize: () => height,
    scrollMargin: top,
    overscan: 6,
  });
  return (
    <ul ref={list} className="list relative" aria-label={props.label} style={{ height: virtual.getTotalSize() }}>
      {virtual.getVirtualItems().map(({ index, key, start }) => {
        const row = rows[index];
        if (row === undefined) return null;
        return (
          <li
            key={key}
            ref={virtual.measureElement}
            data-index={index}
            aria-setsize={rows.length}
            aria-posinset={index + 1}
            className="absolute inset-x-0 top-0"
            style={{ transform: `translateY(${start - top}px)` }}
          >
            {props.children(row)}
          </li>
        );
      })}
    </ul>
  );
}
