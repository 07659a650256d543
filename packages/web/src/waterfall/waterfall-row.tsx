/** The rows of the waterfall. Clicks are heard by the tree: see `waterfall.tsx`. */
import { memo } from "react";
import { formatAge } from "../format/duration.ts";
import { Duration } from "../ui/figure.tsx";
import { Icon } from "../ui/icons.tsx";
import { KIND_LOOKS } from "../ui/kind.tsx";
import { OutsideText } from "../ui/outside-text.tsx";
import { barsOf, endOf } from "./bars.ts";
import { detailOf, oddityText, openNote, sealNote } from "./details.ts";
import { hasFailed, type Item } from "./model.ts";
import type { OtlpSpan } from "./otlp.ts";
import { type LinkRow, type Row, type SpanRow, type Tie, tieText } from "./rows.ts";
import { placeOf, type View } from "./scale.ts";

/** Deeper rows are indented no further. */
const MAX_INDENT = 16;
const MAX_NAME = 300;
const MAX_NOTE = 200;

export interface RowContext {
  readonly view: View;
  readonly nowUs: number;
  readonly isCriticalShown: boolean;
  readonly activeKey: string | undefined;
  readonly matches: ReadonlySet<string>;
  readonly detailsOf: (item: Item) => OtlpSpan | undefined;
  readonly tiesOf: (item: Item) => readonly Tie[];
  /** Whether the links of a row are opened in place. */
  readonly areTiesOpen: (key: string) => boolean;
}

export function rowId(index: number): string {
  return `waterfall-row-${index}`;
}

interface RowProps<R extends Row> {
  readonly row: R;
  readonly index: number;
  /** px from the top of the rows. */
  readonly top: number;
  readonly context: RowContext;
}

function frameOf(row: Row, index: number, top: number, activeKey: string | undefined) {
  return {
    id: rowId(index),
    role: "row",
    "aria-selected": row.key === activeKey,
    "aria-expanded": row.type === "span" ? row.isExpanded : true,
    "aria-level": row.level,
    // The head of the table is the first row.
    "aria-rowindex": index + 2,
    "data-index": index,
    "data-boxes": row.boxes.length === 0 ? undefined : row.boxes.length,
    "data-ends": row.ends === 0 ? undefined : row.ends,
    style: { transform: `translateY(${top}px)`, "--d": Math.min(row.level - 1, MAX_INDENT), "--b": row.boxes.length },
  } as const;
}

export const SpanRowView = memo(function SpanRowView({ row, index, top, context }: RowProps<SpanRow>) {
  const { item, isExpanded } = row;
  const { span, kind } = item;
  const otlp = context.detailsOf(item);
  const look = KIND_LOOKS[kind];
  const state = span.isSealed ? "lost" : hasFailed(span) ? "failed" : undefined;
  const icon = state ?? look.icon;
  const ties = context.tiesOf(item);
  const lasted = span.endUs === undefined ? undefined : (endOf(item, 0) - span.startUs) / 1000;
  return (
    <div {...frameOf(row, index, top, context.activeKey)} className="wf-row">
      <div className="wf-name" role="gridcell">
        <span className="wf-twist" data-twist={isExpanded === undefined ? undefined : ""} aria-hidden="true">
          {isExpanded !== undefined && <Icon name={isExpanded ? "down" : "right"} />}
        </span>
        {icon !== undefined && (
          <Icon name={icon} label={state ?? look.word} className={state === undefined ? look.text : "t-failed"} />
        )}
        <OutsideText
          text={span.name === "" ? "(no name)" : span.name}
          className={`wf-title${row.boxes.length === 0 && context.matches.has(span.spanId) ? " is-match" : ""}`}
          max={MAX_NAME}
        />
        <OutsideText text={detailOf(item, otlp)} className="m cut" max={MAX_NOTE} />
        {ties.length > 0 && (
          <button
            type="button"
            tabIndex={-1}
            data-ties=""
            className="wf-ties"
            aria-expanded={context.areTiesOpen(row.key)}
            aria-label={`${tieWord(ties)}, in place`}
          >
            <Icon name={context.areTiesOpen(row.key) ? "down" : "right"} />
            {tieWord(ties)}
          </button>
        )}
      </div>
      <div className="wf-lasted" role="gridcell">
        {lasted === undefined ? formatAge((context.nowUs - span.startUs) / 1000) : <Duration ms={lasted} hasTenths />}
      </div>
      <div className="wf-time" role="gridcell">
        <Track item={item} otlp={otlp} context={context} />
      </div>
    </div>
  );
});

function tieWord(ties: readonly Tie[]): string {
  const [first] = ties;
  return ties.length === 1 && first !== undefined ? tieText(first).slice(0, 24) : `${ties.length} links`;
}

function Track({ item, otlp, context }: { item: Item; otlp: OtlpSpan | undefined; context: RowContext }) {
  const { view, nowUs } = context;
  const toUs = endOf(item, nowUs);
  const whole = placeOf(view, item.span.startUs, toUs);
  if (whole === undefined) {
    const isEarlier = toUs < view.startUs;
    return (
      <span className={`wf-edge ${isEarlier ? "is-left" : "is-right"}`}>
        <Icon name={isEarlier ? "left" : "right"} label={isEarlier ? "earlier" : "later"} />
      </span>
    );
  }
  const notes = [openNote(item, otlp, nowUs / 1000), sealNote(item, otlp), ...item.oddities.map(oddityText)].filter(
    (note) => note !== undefined,
  );
  const isAfter = whole.left + whole.width < 55;
  return (
    <>
      {barsOf(item, otlp, nowUs).map(({ fromUs, toUs, look, isOpen }) => {
        const place = placeOf(view, fromUs, toUs);
        if (place === undefined) return null;
        const isCut = toUs > view.endUs;
        return (
          <i
            key={look}
            className={`bar ${look}${isOpen && !isCut ? " open" : ""}`}
            style={{ left: `${place.left}%`, width: `max(2px, ${place.width}%)` }}
          />
        );
      })}
      {context.isCriticalShown &&
        item.critical.map(([from, to]) => {
          const place = placeOf(view, from, Math.min(to, toUs));
          if (place === undefined) return null;
          return (
            <i
              key={from}
              className="wf-critical"
              style={{ left: `${place.left}%`, width: `max(1px, ${place.width}%)` }}
            />
          );
        })}
      {notes.length > 0 && (
        <OutsideText
          text={notes.join(" · ")}
          max={MAX_NOTE}
          className={`wf-note ${isAfter ? "is-after" : "is-before"}${item.span.isSealed ? " t-failed" : ` ${KIND_LOOKS[item.kind].text}`}`}
          style={isAfter ? { left: `${whole.left + whole.width}%` } : { right: `${100 - whole.left}%` }}
        />
      )}
    </>
  );
}

export function LinkRowView({ row, index, top, context }: RowProps<LinkRow>) {
  const { tie, linked, isWhole } = row;
  return (
    <div {...frameOf(row, index, top, context.activeKey)} className="wf-row is-link">
      <div className="wf-link" role="gridcell" aria-colspan={3}>
        <Icon name="link" />
        <span className="cut">
          <OutsideText text={tieText(tie)} max={60} />: another trace, <code>{tie.traceId.slice(0, 8)}…</code>{" "}
          {linked.state === "ready" && !isWhole && "at its own place in time"}
          {linked.state === "ready" && isWhole && "whole, since the linked span is not in it"}
          {linked.state === "loading" && "is being read"}
          {linked.state === "failed" && "could not be read"}
        </span>
        <span className="grow" />
        <button type="button" tabIndex={-1} data-goto="" className="btn quiet">
          Open the trace
        </button>
        <button type="button" tabIndex={-1} data-close="" className="btn quiet sq" aria-label="Close the linked trace">
          <Icon name="close" />
        </button>
      </div>
    </div>
  );
}
