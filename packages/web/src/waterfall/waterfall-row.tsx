/**
 * The rows of the waterfall. Clicks and keys are heard by the tree: see `waterfall.tsx`. A row has few elements, and each of its cells
 * is drawn again only when what it shows has changed: scrolling adds hundreds of rows a second.
 */
import { memo, useLayoutEffect, useRef } from "react";
import { formatAge, formatDuration } from "../format/duration.ts";
import { surfaceOf } from "../timeline/draw.ts";
import type { Palette } from "../timeline/palette.ts";
import { Icon } from "../ui/icons.tsx";
import { KIND_LOOKS } from "../ui/kind.tsx";
import { OutsideText } from "../ui/outside-text.tsx";
import { endOf } from "./bars.ts";
import { detailOf, oddityText, openNote, sealNote } from "./details.ts";
import { drawTrack } from "./draw-track.ts";
import type { Item } from "./item.ts";
import { hasFailed } from "./model.ts";
import type { OtlpSpan } from "./otlp.ts";
import { type LinkRow, type Row, type SpanRow, type Tie, tieText } from "./rows.ts";
import { offsetText, placeOf, type View } from "./scale.ts";

/** The height of a row, and of the line where bars have no column, px. */
export const ROW_PX = 24;
const SLIM_PX = 3;
/** Deeper rows are indented no further. */
const MAX_INDENT = 16;
const MAX_NAME = 300;
const MAX_NOTE = 200;

/** What the names of rows depend on. The same object until any of it changes. */
export interface NameContext {
  readonly matches: ReadonlySet<string>;
  readonly detailsOf: (item: Item) => OtlpSpan | undefined;
  readonly tiesOf: (item: Item) => readonly Tie[];
  /** Whether the links of a row are opened in place. */
  readonly areTiesOpen: (key: string) => boolean;
}

/** What the bars of rows depend on. The same object until any of it changes. */
export interface TimeContext {
  readonly view: View;
  readonly nowUs: number;
  readonly isCriticalShown: boolean;
  /** From which times are counted. */
  readonly originUs: number;
  readonly palette: Palette;
  /** The width of the bars' column, px. */
  readonly trackPx: number;
  /** Whether bars have no column, but a line below the name. */
  readonly isSlim: boolean;
}

interface RowProps<R extends Row> {
  readonly row: R;
  readonly index: number;
  /** px from the top of the rows. */
  readonly top: number;
  readonly isActive: boolean;
  /** Whether Tab leads here. */
  readonly isTabStop: boolean;
}

function frameOf({ row, index, top, isActive, isTabStop }: RowProps<Row>) {
  return {
    role: "row",
    tabIndex: isTabStop ? 0 : -1,
    "aria-selected": isActive,
    "aria-expanded": row.type === "span" ? row.isExpanded : true,
    "aria-level": row.level,
    "aria-posinset": row.place,
    "aria-setsize": row.of,
    // The head of the table is the first row.
    "aria-rowindex": index + 2,
    "data-index": index,
    "data-boxes": row.boxes.length === 0 ? undefined : row.boxes.length,
    "data-ends": row.ends === 0 ? undefined : row.ends,
    style: { top, "--d": Math.min(row.level - 1, MAX_INDENT), "--b": row.boxes.length },
  } as const;
}

interface SpanRowProps extends RowProps<SpanRow> {
  readonly names: NameContext;
  readonly time: TimeContext;
}

export const SpanRowView = memo(function SpanRowView({ names, time, ...frame }: SpanRowProps) {
  const { row } = frame;
  const { item } = row;
  const otlp = names.detailsOf(item);
  return (
    <tr {...frameOf(frame)} className="wf-row">
      <NameCell row={row} otlp={otlp} names={names} />
      {item.span.endUs === undefined ? (
        <td className="wf-lasted">{formatAge((endOf(item, time.nowUs) - item.span.startUs) / 1000)}</td>
      ) : (
        <LastedCell ms={(endOf(item, 0) - item.span.startUs) / 1000} />
      )}
      <td className="wf-time">
        <Track item={item} otlp={otlp} time={time} />
      </td>
    </tr>
  );
});

const LastedCell = memo(function LastedCell({ ms }: { readonly ms: number }) {
  return (
    <td className="wf-lasted" title={`${ms} ms`}>
      {formatDuration(ms, true)}
    </td>
  );
});

interface NameCellProps {
  readonly row: SpanRow;
  readonly otlp: OtlpSpan | undefined;
  readonly names: NameContext;
}

const NameCell = memo(function NameCell({ row, otlp, names }: NameCellProps) {
  const { item, isExpanded } = row;
  const { span, kind } = item;
  const look = KIND_LOOKS[kind];
  const state = span.isSealed ? "lost" : hasFailed(span) ? "failed" : undefined;
  const icon = state ?? look.icon;
  const detail = detailOf(item, otlp);
  const ties = names.tiesOf(item);
  const isMatch = row.boxes.length === 0 && names.matches.has(span.spanId);
  return (
    <th scope="row" className={isExpanded === undefined ? "wf-name is-leaf" : "wf-name"}>
      {isExpanded !== undefined && (
        <span className="wf-twist" data-twist="" aria-hidden="true">
          <Icon name={isExpanded ? "down" : "right"} />
        </span>
      )}
      {icon !== undefined && (
        <Icon name={icon} label={state ?? look.word} className={state === undefined ? look.text : "t-failed"} />
      )}
      <OutsideText
        text={span.name === "" ? "(no name)" : span.name}
        className={isMatch ? "wf-title is-match" : "wf-title"}
        max={MAX_NAME}
      />
      {detail !== "" && <OutsideText text={detail} className="m cut" max={MAX_NOTE} />}
      {ties.length > 0 && (
        <button
          type="button"
          tabIndex={-1}
          data-ties=""
          className="wf-ties"
          aria-expanded={names.areTiesOpen(row.key)}
          aria-label={`${tieWord(ties)}, in place`}
        >
          <Icon name={names.areTiesOpen(row.key) ? "down" : "right"} />
          {tieWord(ties)}
        </button>
      )}
    </th>
  );
});

function tieWord(ties: readonly Tie[]): string {
  const [first] = ties;
  return ties.length === 1 && first !== undefined ? tieText(first).slice(0, 24) : `${ties.length} links`;
}

interface TrackProps {
  readonly item: Item;
  readonly otlp: OtlpSpan | undefined;
  readonly time: TimeContext;
}

function Track({ item, otlp, time }: TrackProps) {
  const { view, nowUs, isCriticalShown, originUs, palette, trackPx, isSlim } = time;
  const canvas = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => {
    const surface = canvas.current && surfaceOf(canvas.current, palette, trackPx, isSlim ? SLIM_PX : ROW_PX);
    if (surface) drawTrack(surface, { item, otlp, view, nowUs, isCriticalShown, isSlim });
  }, [item, otlp, view, nowUs, isCriticalShown, palette, trackPx, isSlim]);
  const toUs = endOf(item, nowUs);
  const whole = placeOf(view, item.span.startUs, toUs);
  const end = whole === undefined ? 0 : whole.left + whole.width;
  const notes = whole === undefined ? [] : notesOf(item, otlp, nowUs);
  const { text } = KIND_LOOKS[item.kind];
  return (
    <>
      <canvas
        ref={canvas}
        className="wf-bars"
        role="img"
        aria-label={`at ${offsetText(item.span.startUs - originUs)}`}
      />
      {item.span.endUs === undefined && whole !== undefined && toUs <= view.endUs && (
        <i className={`wf-tip ${text}`} style={{ left: `${end}%` }} aria-hidden="true" />
      )}
      {whole !== undefined && notes.length > 0 && (
        <OutsideText
          text={notes.join(" · ")}
          max={MAX_NOTE}
          className={`wf-note ${end < 55 ? "is-after" : "is-before"} ${item.span.isSealed ? "t-failed" : text}`}
          style={end < 55 ? { left: `${end}%` } : { right: `${100 - whole.left}%` }}
        />
      )}
    </>
  );
}

function notesOf(item: Item, otlp: OtlpSpan | undefined, nowUs: number): readonly string[] {
  const own = [openNote(item, otlp, nowUs / 1000), sealNote(item, otlp)].filter((note) => note !== undefined);
  return [...own, ...item.oddities.map(oddityText)];
}

export function LinkRowView(props: RowProps<LinkRow>) {
  const { tie, linked, isWhole } = props.row;
  return (
    <tr {...frameOf(props)} className="wf-row is-link">
      <th scope="row" className="wf-link" colSpan={3}>
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
      </th>
    </tr>
  );
}
