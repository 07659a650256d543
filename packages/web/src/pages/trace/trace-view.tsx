/** The waterfall of a trace that has been read, with its tools and the panel of the selected span. */
import { useNavigate } from "@tanstack/react-router";
import { type CSSProperties, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { useActions } from "../../app/actions.ts";
import { announce } from "../../app/announce.ts";
import { useNow } from "../../ui/age.tsx";
import { Count } from "../../ui/figure.tsx";
import { Icon } from "../../ui/icons.tsx";
import { Legend } from "../../ui/kind.tsx";
import { CopyButton } from "../../ui/notes.tsx";
import { useTopOf } from "../../ui/use-top-of.ts";
import { endOf } from "../../waterfall/bars.ts";
import type { Item } from "../../waterfall/item.ts";
import { errorSources, nextItem } from "../../waterfall/matches.ts";
import type { Model } from "../../waterfall/model.ts";
import { ancestorKeys, type Row, type Tie, tieKey, tiesOf, visibleRows } from "../../waterfall/rows.ts";
import { followed, isWhole, nowOf, type View, viewOf, zoomed } from "../../waterfall/scale.ts";
import { SpanPanel } from "../../waterfall/span-panel.tsx";
import { Toolbar } from "../../waterfall/toolbar.tsx";
import type { Backlinks } from "../../waterfall/use-backlinks.ts";
import { useDetails } from "../../waterfall/use-details.ts";
import type { Traces } from "../../waterfall/use-traces.ts";
import { type ShownTime, Waterfall } from "../../waterfall/waterfall.tsx";
import type { NameContext } from "../../waterfall/waterfall-row.tsx";
import { backendUrl } from "./backend-url.ts";
import { CertificateNote } from "./certificate-note.tsx";
import { useSearch } from "./use-search.ts";

interface TraceViewProps {
  readonly sessionId: string;
  readonly model: Model;
  readonly traces: Traces;
  readonly backlinks: Backlinks;
  readonly urlTemplate: string | undefined;
  readonly opened: ReadonlyMap<string, readonly Tie[]>;
  readonly setOpened: (opened: ReadonlyMap<string, readonly Tie[]>) => void;
  readonly initialSpan: string | undefined;
  readonly initialText: string;
  readonly onSelected: (spanId: string) => void;
  readonly onText: (text: string) => void;
}

const GROUP = "Trace";
const KINDS = ["model", "first-byte", "tool", "sandbox", "queue", "person", "retry", "lost"] as const;
/** How long the selection rests until it stands in the URL, ms. */
const SETTLED_MS = 200;
const NOTHING: readonly Item[] = [];

export function TraceView(props: TraceViewProps) {
  const { sessionId, model, traces, backlinks, opened, setOpened, onSelected } = props;
  const navigate = useNavigate();
  const tree = useRef<HTMLTableElement>(null);
  const field = useRef<HTMLInputElement>(null);
  const side = useRef<HTMLDivElement>(null);
  const columns = useRef<HTMLDivElement>(null);
  const top = useTopOf(columns);
  const [folded, setFolded] = useState<ReadonlySet<string>>(new Set());
  const [activeKey, setActiveKey] = useState<string | undefined>(props.initialSpan ?? model.order[0]?.span.spanId);
  const [zoom, setZoom] = useState<View>();
  const [isFollowing, setFollowing] = useState(false);
  const [isCriticalShown, setCriticalShown] = useState(true);
  const [shown, setShown] = useState<readonly Item[]>(NOTHING);
  const before = useRef<string[]>([]);
  const tickUs = useNow() * 1000;
  // Where nothing is open, no second changes the picture.
  const nowUs = model.openCount > 0 || opened.size > 0 ? nowOf(tickUs, model.lastUs) : model.lastUs;

  const linked = traces.of;
  const linksHere = backlinks.bySpan;
  const tiesOfItem = useCallback(
    (item: Item): readonly Tie[] => {
      const own = item.span.links.length === 0 ? [] : tiesOf(item);
      const others = item.traceId === model.traceId ? linksHere.get(item.span.spanId) : undefined;
      return others === undefined ? own : [...own, ...others];
    },
    [linksHere, model.traceId],
  );
  const rows = useMemo(() => visibleRows(model, { folded, opened, linked }), [model, folded, opened, linked]);
  const indexOf = useMemo(() => new Map(rows.map(({ key }, index) => [key, index])), [rows]);

  const active = activeKey === undefined ? undefined : rows[indexOf.get(activeKey) ?? -1];
  const selected = active?.type === "span" ? active.item : undefined;
  const search = useSearch(sessionId, model, props.initialText, props.onText);
  const details = useDetails(sessionId, model, shown, selected);

  const bounds = useMemo(() => boundsOf(model, rows, nowUs), [model, rows, nowUs]);
  const view = useMemo(() => {
    if (zoom === undefined) return bounds;
    return isFollowing ? followed(zoom, bounds, nowUs) : zoom;
  }, [zoom, isFollowing, bounds, nowUs]);

  const detailsOf = details.of;
  const { matches } = search;
  // The names of rows are drawn anew only when the one changes, their bars when the other does.
  const names = useMemo(
    (): NameContext => ({ matches, detailsOf, tiesOf: tiesOfItem, areTiesOpen: (key) => opened.has(key) }),
    [matches, detailsOf, tiesOfItem, opened],
  );
  const shownTime = useMemo((): ShownTime => ({ view, nowUs, isCriticalShown }), [view, nowUs, isCriticalShown]);

  useEffect(() => {
    const own = activeKey !== undefined && /^[0-9a-f]{16}$/.test(activeKey) ? activeKey : undefined;
    if (own === undefined) return;
    const timer = setTimeout(() => onSelected(own), SETTLED_MS);
    return () => clearTimeout(timer);
  }, [activeKey, onSelected]);

  const isSpanMissing = activeKey !== undefined && activeKey === props.initialSpan && !model.items.has(activeKey);
  useEffect(() => {
    if (isSpanMissing) announce("The trace has no span with the id of this link.", { isBad: true });
  }, [isSpanMissing]);

  const reveal = (item: Item) => {
    const hiding = ancestorKeys(item).filter((key) => folded.has(key));
    if (hiding.length > 0) setFolded(new Set([...folded].filter((key) => !hiding.includes(key))));
    setActiveKey(item.span.spanId);
    const at = item.span.startUs;
    if (zoom !== undefined && (at < view.startUs || at > view.endUs)) {
      const half = (view.endUs - view.startUs) / 2;
      setZoom(viewOf(at - half, at + half));
    }
  };
  /** Goes to a span that is not the next one: Escape leads back. */
  const jump = (item: Item) => {
    if (activeKey !== undefined) before.current.push(activeKey);
    reveal(item);
  };
  const ownActive = activeKey !== undefined && model.items.has(activeKey) ? activeKey : undefined;
  const toMatch = (by: 1 | -1) => {
    const found = nextItem(model, ownActive, by, ({ span }) => search.matches.has(span.spanId));
    if (found !== undefined) jump(found);
    else
      announce(search.text.trim() === "" ? "Write what to search for first." : "Nothing matches.", { isShown: true });
  };
  const toError = () => {
    const found = nextItem(model, ownActive, 1, errorSources(model));
    if (found !== undefined) jump(found);
    else announce("No span of this trace failed.", { isShown: true });
  };
  const setTies = (owner: string, ties: readonly Tie[]) => {
    const next = new Map(opened);
    if (ties.length === 0) next.delete(owner);
    else next.set(owner, ties);
    setOpened(next);
  };
  /** Opens links of a row in place; those within the trace lead to their span. */
  const follow = (row: Row, ties: readonly Tie[]) => {
    if (row.type !== "span" || ties.length === 0) return;
    const inside = ties.find((tie) => tie.traceId === model.traceId && row.boxes.length === 0);
    const target = inside === undefined ? undefined : model.items.get(inside.spanId);
    const outside = ties.filter((tie) => tie.traceId !== row.item.traceId);
    if (outside.length === 0) {
      if (target !== undefined) jump(target);
      else announce("The span that this one links to is not in the trace.", { isShown: true });
      return;
    }
    const areOpen = outside.every((tie) => indexOf.has(tieKey(row.key, tie)));
    setTies(row.key, areOpen ? [] : outside);
    if (!areOpen && folded.has(row.key)) fold(row, false);
  };
  const fold = (row: Row, isFolded: boolean) => {
    const next = new Set(folded);
    if (isFolded) next.add(row.key);
    else next.delete(row.key);
    setFolded(next);
  };
  const close = (row: Row) => {
    if (row.type !== "link") return;
    const left = (opened.get(row.owner) ?? []).filter((tie) => tieKey(row.owner, tie) !== row.key);
    setTies(row.owner, left);
    setActiveKey(row.owner);
  };
  const goto = (row: Row) => {
    if (row.type !== "link") return;
    const { traceId, spanId } = row.tie;
    void navigate({
      to: "/sessions/$sessionId/traces/$traceId",
      params: { sessionId, traceId },
      search: { span: spanId },
    });
  };
  const zoomBy = (factor: number | undefined) => {
    if (factor === undefined) return setZoom(undefined);
    const next = zoomed(view, bounds, factor, isFollowing ? 1 : centreOf(selected, view, nowUs));
    setZoom(isWhole(next, bounds) ? undefined : next);
  };
  const onView = (next: View) => {
    setFollowing(false);
    setZoom(isWhole(next, bounds) ? undefined : next);
  };
  const toggleFollowing = () => {
    if (isFollowing) return setFollowing(false);
    setFollowing(true);
    const newest = model.order.findLast(({ span }) => span.endUs === undefined);
    if (newest !== undefined) reveal(newest);
  };
  const canFollow = model.openCount > 0;
  useActions([
    {
      label: "Search names and attributes",
      group: GROUP,
      keys: "/",
      run: () => {
        field.current?.focus();
        field.current?.select();
      },
    },
    { label: "Next match", group: GROUP, keys: "n", run: () => toMatch(1) },
    { label: "Previous match", group: GROUP, keys: "Shift+N", run: () => toMatch(-1) },
    { label: "Next error", group: GROUP, keys: "e", run: toError },
    { label: "Zoom in", group: GROUP, keys: "+ =", run: () => zoomBy(2) },
    { label: "Zoom out", group: GROUP, keys: "-", run: () => zoomBy(0.5) },
    { label: "Show the whole trace", group: GROUP, keys: "0", run: () => zoomBy(undefined) },
    { label: "Show or hide the critical path", group: GROUP, keys: "p", run: () => setCriticalShown(!isCriticalShown) },
    {
      label: "Open or close the links of the span",
      group: GROUP,
      keys: "l",
      run: () => (active?.type === "link" ? close(active) : active && follow(active, tiesOfItem(active.item))),
    },
    { label: "Follow now", group: GROUP, keys: "f", applies: () => canFollow, run: toggleFollowing },
    {
      label: "Back to the span before",
      group: GROUP,
      keys: "Escape",
      run: () => {
        const key = before.current.pop();
        tree.current?.focus({ preventScroll: true });
        if (key !== undefined) setActiveKey(key);
        return key !== undefined;
      },
    },
  ]);

  const matchIds = useMemo(
    () => model.order.flatMap(({ span }) => (search.matches.has(span.spanId) ? [span.spanId] : [])),
    [model, search.matches],
  );
  const url = backendUrl(props.urlTemplate, model.traceId);
  return (
    <div ref={columns} className="wf-columns" style={{ "--wf-top": `${top}px` } as CSSProperties}>
      <section className="wf" aria-label="Waterfall">
        <Toolbar
          field={field}
          text={search.text}
          onText={search.setText}
          matchAt={ownActive === undefined ? 0 : matchIds.indexOf(ownActive) + 1}
          matchCount={matchIds.length}
          isSearching={search.isSearching}
          searchError={search.error}
          onMatch={toMatch}
          hasErrors={model.errorCount + model.programErrorCount > 0}
          onError={toError}
          isCriticalShown={isCriticalShown}
          onCritical={() => setCriticalShown(!isCriticalShown)}
          onZoom={zoomBy}
          isZoomed={zoom !== undefined}
          isFollowing={isFollowing}
          onFollow={canFollow ? toggleFollowing : undefined}
        />
        <Waterfall
          tree={tree}
          rows={rows}
          indexOf={indexOf}
          activeKey={activeKey}
          names={names}
          shownTime={shownTime}
          bounds={bounds}
          originUs={model.startUs}
          onView={onView}
          onActive={setActiveKey}
          onFold={fold}
          onTies={(row) => row.type === "span" && follow(row, tiesOfItem(row.item))}
          onClose={close}
          onGoto={goto}
          onOpen={() => side.current?.focus()}
          onShown={setShown}
        />
        <div className="wf-foot small m2">
          <span>
            <Count count={model.order.length} /> {model.order.length === 1 ? "span" : "spans"}
          </span>
          <CertificateNote sessionId={sessionId} traceId={model.traceId} />
          {model.clockTexts.map((text) => (
            <span key={text}>{text}</span>
          ))}
          {canFollow && (
            <span>
              <Icon name="run" /> <Count count={model.openCount} /> open
            </span>
          )}
          {model.errorCount > 0 && (
            <span>
              <Icon name="failed" className="t-failed" /> <Count count={model.errorCount} /> failed or lost
            </span>
          )}
          {model.programErrorCount > 0 && (
            <span>
              <Icon name="failed" className="m" /> <Count count={model.programErrorCount} /> failed in the agent's
              programs, which count apart
            </span>
          )}
          <span>
            trace <code>{model.traceId}</code>
          </span>
          <CopyButton text={model.traceId} label="Copy the id" />
          {url !== undefined && (
            <a className="btn quiet" href={url.href} target="_blank" rel="noreferrer noopener">
              Open in {url.name}
            </a>
          )}
          <Legend kinds={KINDS} />
        </div>
      </section>
      <div ref={side} className="wf-side-frame" tabIndex={-1}>
        {selected !== undefined && (
          <SpanPanel
            key={`${selected.traceId}:${selected.span.spanId}`}
            item={selected}
            otlp={details.of(selected)}
            hasFailed={details.hasFailed}
            nowMs={nowUs / 1000}
            ties={tiesOfItem(selected)}
            backlinks={backlinks.state}
            onTie={(tie) => active !== undefined && follow(active, [tie])}
          />
        )}
      </div>
    </div>
  );
}

/** Returns the window that shows the trace and the linked ones that are opened. */
function boundsOf(model: Model, rows: readonly Row[], nowUs: number): View {
  let startUs = model.startUs;
  let endUs = model.openCount > 0 ? Math.max(nowUs, model.endUs) : model.endUs;
  for (const row of rows) {
    if (row.boxes.length === 0 || row.type !== "span") continue;
    startUs = Math.min(startUs, row.item.span.startUs);
    endUs = Math.max(endUs, endOf(row.item, nowUs));
  }
  return viewOf(startUs, endUs);
}

/** Returns the point around which keys and buttons zoom: the selected span if it is in sight, else the middle. */
function centreOf(selected: Item | undefined, view: View, nowUs: number): number {
  if (selected === undefined) return 0.5;
  const { startUs } = selected.span;
  const endUs = endOf(selected, nowUs);
  const at = ((startUs + endUs) / 2 - view.startUs) / (view.endUs - view.startUs);
  return at >= 0 && at <= 1 ? at : 0.5;
}
