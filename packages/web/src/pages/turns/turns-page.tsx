/** Turns across sessions: what they usually take, which are far from it, and the way to each. */
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { useCallback, useEffect, useMemo, useRef } from "react";
import type { Schemas } from "../../api/client.ts";
import { sessionsQuery } from "../../api/sessions.ts";
import { useActions } from "../../app/actions.ts";
import { useTitle } from "../../app/use-title.ts";
import { Button, buttonClass } from "../../ui/button.tsx";
import { Empty, ErrorNote, Loading, NewRows } from "../../ui/notes.tsx";
import { useHeldRows } from "../../ui/use-held-rows.ts";
import { Closer } from "./closer.tsx";
import { sortedText, sourceText, totalText } from "./stats-words.ts";
import { Summary } from "./summary.tsx";
import { rowOf, type TurnRow } from "./turn-columns.tsx";
import { TurnsBar } from "./turns-bar.tsx";
import { statsQuery, turnsQuery } from "./turns-queries.ts";
import { askedOf, filterCount, type TurnsSearch } from "./turns-search.ts";
import { moveInRows, TurnsTable } from "./turns-table.tsx";
import "./turns.css";

const route = getRouteApi("/turns");
/** Pages with few turns or none are read on by themselves, up to so many rows in sight. */
const ENOUGH_ROWS = 30;
const MAX_PAGES_FOR_THEM = 10;

export default function TurnsPage() {
  useTitle("Turns");
  const search = route.useSearch();
  const navigate = useNavigate({ from: "/turns" });
  const change = (next: TurnsSearch) => void navigate({ to: "/turns", search: next, resetScroll: false });
  const stats = useQuery(statsQuery(search));
  const byDay = useQuery(statsQuery(search, "day"));
  const list = useInfiniteQuery(turnsQuery(search));
  const place = useRef<HTMLDivElement>(null);
  useActions([
    { label: "Next turn", group: "Turns", keys: "ArrowDown", isKeyOnly: true, run: () => moveInRows(place, 1) },
    { label: "Previous turn", group: "Turns", keys: "ArrowUp", isKeyOnly: true, run: () => moveInRows(place, -1) },
  ]);

  const { hasNextPage, isFetching, isError, fetchNextPage, data } = list;
  const turns = useMemo(() => (data?.pages ?? []).flatMap(({ turns }) => turns), [data]);
  const titles = useTitles(turns);
  const next = useMemo(
    () => turns.map((turn) => rowOf(turn, titles.get(turn.session_id), stats.data)),
    [turns, titles, stats.data],
  );
  const pages = data?.pages.length ?? 0;
  const held = useHeldRows<TurnRow>(next, place, JSON.stringify([search, pages]));
  const more = useCallback(() => {
    if (hasNextPage && !isFetching && !isError) void fetchNextPage();
  }, [hasNextPage, isFetching, isError, fetchNextPage]);
  const mayReadOn = next.length >= ENOUGH_ROWS || pages < MAX_PAGES_FOR_THEM;
  const note = data?.pages[0] === undefined ? undefined : sortedText(data.pages[0]);
  return (
    <div className="turns">
      <TurnsBar search={search} total={stats.data === undefined ? "" : totalText(stats.data.total)} />
      {stats.isError && stats.data === undefined ? (
        <div className="px-4 pb-4">
          <ErrorNote
            what="The statistics could not be read."
            error={stats.error}
            onRetry={() => void Promise.all([stats.refetch(), byDay.refetch()])}
          />
        </div>
      ) : stats.data === undefined ? (
        <div className="px-4">
          <Loading what="the statistics" rows={5} />
        </div>
      ) : (
        stats.data.total.turns > 0 && (
          <div className={stats.isPlaceholderData ? "is-stale" : ""}>
            <Summary
              stats={stats.data}
              byDay={byDay.data}
              chosen={search.of ?? "duration"}
              onChoose={(of) => change({ ...search, of })}
            />
            <Closer search={search} turns={held.rows} total={stats.data.total} onChange={change} />
            <SourceLine stats={stats.data} search={search} onChange={change} />
          </div>
        )
      )}
      <div ref={place} className="turns-list">
        <NewRows count={held.waiting} onShow={held.release} />
        {note !== undefined && <p className="turns-line">{note}</p>}
        {isError && data === undefined && stats.data !== undefined && (
          <div className="p-4">
            <ErrorNote what="The turns could not be read." error={list.error} onRetry={() => void list.refetch()} />
          </div>
        )}
        {data === undefined && !isError && (
          <div className="px-4">
            <Loading what="the turns" rows={8} />
          </div>
        )}
        {held.rows.length > 0 && (
          <TurnsTable
            rows={held.rows}
            sort={search.sort ?? "time"}
            hasMore={hasNextPage && mayReadOn}
            onSort={(sort) => change({ ...search, sort })}
            onEnd={more}
          />
        )}
        {data !== undefined && next.length === 0 && !hasNextPage && <Nothing search={search} />}
        {data !== undefined && hasNextPage && (
          <p className="turns-line">
            {isError ? "More turns could not be read. " : null}
            <Button isBusy={list.isFetchingNextPage} onClick={() => void fetchNextPage()}>
              {next.length === 0 ? "Look further back" : "Load more turns"}
            </Button>
          </p>
        )}
      </div>
    </div>
  );
}

/** The titles of sessions. The list is read once, and again when it lacks a session of the turns; nothing asks for it in between. */
function useTitles(turns: readonly Schemas["TurnRecord"][]): ReadonlyMap<string, string> {
  const { data, refetch, isFetching } = useInfiniteQuery({ ...sessionsQuery, refetchInterval: false });
  const sessions = useMemo(() => (data?.pages ?? []).flatMap((page) => page.sessions), [data]);
  const askedFor = useRef(new Set<string>());
  useEffect(() => {
    if (data === undefined || isFetching) return;
    const known = new Set(sessions.map(({ id }) => id));
    const missing = turns
      .map(({ session_id }) => session_id)
      .filter((id) => !known.has(id) && !askedFor.current.has(id));
    if (missing.length === 0) return;
    // A session that is on no page that was read, or was deleted, is asked for once.
    for (const id of missing) askedFor.current.add(id);
    void refetch();
  }, [data, isFetching, refetch, sessions, turns]);
  return useMemo(
    () => new Map(sessions.flatMap(({ id, title }) => (title == null || title.trim() === "" ? [] : [[id, title]]))),
    [sessions],
  );
}

/** How exact the figures are, and the way to exact ones. */
function SourceLine(props: {
  readonly stats: Schemas["TurnStats"];
  readonly search: TurnsSearch;
  readonly onChange: (search: TurnsSearch) => void;
}) {
  const { stats, search, onChange } = props;
  const isExact = search.exact === true;
  const isRefused = isExact && stats.source === "rollups";
  const toggle = () => {
    const { exact: _, ...rest } = search;
    onChange(isExact ? rest : { ...rest, exact: true });
  };
  return (
    <p className="turns-line">
      <span>
        {sourceText(stats)}
        {isRefused && " Exact ones are read for at most 31 days and 10,000 turns."}
      </span>
      <Button look="quiet" aria-pressed={isExact} onClick={toggle}>
        Exact percentiles
      </Button>
    </p>
  );
}

function Nothing({ search }: { readonly search: TurnsSearch }) {
  const filters = filterCount(search);
  return (
    <div className="p-4">
      <Empty
        title={filters > 0 ? "No turn matches the filters" : "No turn ended in the last 7 days"}
        action={
          filters > 0 ? (
            <Link to="/turns" search={{}} className={buttonClass()}>
              Clear the filters
            </Link>
          ) : (
            <>
              <Link to="/turns" search={{ last: "month" }} className={buttonClass()}>
                Look at 30 days
              </Link>
              <code className="m2">valet turns</code>
            </>
          )
        }
      >
        {Object.keys(askedOf(search)).length > 0
          ? "A turn is here once it has ended, and if all filters hold."
          : "A turn is the agent's work on a message. It is here once it has ended, with its wait, its time and its cost."}
      </Empty>
    </div>
  );
}
