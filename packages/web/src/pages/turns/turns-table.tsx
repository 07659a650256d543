/** The table of turns. Only the rows near the window exist. */
import { useTable } from "@tanstack/react-table";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { type RefObject, useEffect, useRef } from "react";
import { Icon } from "../../ui/icons.tsx";
import { useIsNarrow } from "../../ui/use-is-narrow.ts";
import { idOf, useRowOptions } from "../../ui/use-row-options.ts";
import { useTopOf } from "../../ui/use-top-of.ts";
import { columns, FIGURES, features, type TurnRow } from "./turn-columns.tsx";
import { SORTS, type Sort } from "./turns-search.ts";

interface TurnsTableProps {
  readonly rows: readonly TurnRow[];
  readonly sort: Sort;
  readonly hasMore: boolean;
  readonly onSort: (sort: Sort) => void;
  /** The last rows are near the window: more are needed. */
  readonly onEnd: () => void;
}

export function TurnsTable(props: TurnsTableProps) {
  const height = useIsNarrow() ? 52 : 30;
  // Another width, other heights: nothing that was measured is of use.
  return <Table key={height} height={height} {...props} />;
}

/** @param props `height` is the likely height of a row, px */
function Table({ rows, sort, hasMore, onSort, onEnd, height }: TurnsTableProps & { readonly height: number }) {
  const body = useRef<HTMLTableElement>(null);
  const table = useTable({ features, columns, data: rows as TurnRow[], getRowId: ({ id }) => id });
  const all = table.getRowModel().rows;
  const top = useTopOf(body);
  const virtual = useWindowVirtualizer({
    ...useRowOptions(rows, idOf),
    estimateSize: () => height,
    scrollMargin: top,
    overscan: 12,
  });
  const shown = virtual.getVirtualItems();
  const last = shown.at(-1)?.index ?? -1;
  useEffect(() => {
    if (hasMore && last >= all.length - 1) onEnd();
  }, [hasMore, last, all.length, onEnd]);
  const before = (shown[0]?.start ?? top) - top;
  const after = virtual.getTotalSize() - ((shown.at(-1)?.end ?? top) - top);
  return (
    <table ref={body} className="turns-table" aria-rowcount={hasMore ? -1 : rows.length + 1} aria-label="Turns">
      <thead>
        {table.getHeaderGroups().map((group) => (
          <tr key={group.id} aria-rowindex={1}>
            {group.headers.map((header) => (
              <th
                key={header.id}
                scope="col"
                className={classOf(header.column.id)}
                {...(header.column.id === sort && { "aria-sort": "descending" as const })}
              >
                <Head id={header.column.id} text={String(header.column.columnDef.header)} sort={sort} onSort={onSort} />
              </th>
            ))}
          </tr>
        ))}
      </thead>
      <Room height={before} />
      <tbody>
        {shown.map(({ index, key }) => {
          const row = all[index];
          if (row === undefined) return null;
          return (
            <tr key={key} aria-rowindex={index + 2}>
              {row.getAllCells().map((cell) => (
                <td key={cell.id} className={classOf(cell.column.id)}>
                  <table.FlexRender cell={cell} />
                </td>
              ))}
            </tr>
          );
        })}
      </tbody>
      <Room height={after} />
    </table>
  );
}

function Head(props: {
  readonly id: string;
  readonly text: string;
  readonly sort: Sort;
  readonly onSort: (sort: Sort) => void;
}) {
  const { id, text, sort, onSort } = props;
  const own = SORTS.find((each) => each === id);
  if (own === undefined) return text;
  return (
    <button type="button" onClick={() => onSort(own)} title={own === "time" ? "newest first" : "largest first"}>
      {text}
      {own === sort && <Icon name="down" />}
    </button>
  );
}

/** Stands for rows that do not exist. It has no row of its own, so nothing is read out for it. */
function Room({ height }: { readonly height: number }) {
  return height <= 0 ? null : <tbody className="turns-room" style={{ height }} />;
}

function classOf(id: string): string {
  return `col-${id.replace("_", "-")}${FIGURES.includes(id) ? " n" : ""}`;
}

/** Moves the focus from row to row. @returns whether there was a row to go to */
export function moveInRows(list: RefObject<HTMLElement | null>, by: 1 | -1): boolean {
  const links = [...(list.current?.querySelectorAll<HTMLElement>("[data-row-link]") ?? [])];
  const next = links[links.indexOf(document.activeElement as HTMLElement) + by];
  next?.focus();
  return next !== undefined;
}
