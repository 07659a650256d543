/** The inbox: what needs somebody, what runs, and the rest. */
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useRef, useState } from "react";
import { attentionQuery } from "../../api/attention.ts";
import { MAX_LOADED_PAGES, sessionsQuery } from "../../api/sessions.ts";
import { useActions } from "../../app/actions.ts";
import { useTitle } from "../../app/use-title.ts";
import { Button, buttonClass } from "../../ui/button.tsx";
import { Empty, ErrorNote, Loading, NewRows } from "../../ui/notes.tsx";
import { useHeldRows } from "../../ui/use-held-rows.ts";
import { WindowRows } from "../../ui/window-rows.tsx";
import { InboxBar } from "./inbox-bar.tsx";
import { GROUPS, type Group, type InboxRow, inboxRows, inItsGroup } from "./inbox-groups.ts";
import { inboxActions } from "./inbox-keys.ts";
import { filterCount, type InboxSearch } from "./inbox-search.ts";
import { CreateSessionProvider, type SessionDraft } from "./session-draft.ts";
import { SessionRow } from "./session-row.tsx";
import { useFoundSessions } from "./use-found-sessions.ts";
import { useVerdictNews } from "./use-verdict-news.ts";
import "./inbox.css";

const NewSession = lazy(() => import("./new-session.tsx"));
const route = getRouteApi("/");

export default function InboxPage() {
  const search = route.useSearch();
  const [draft, setDraft] = useState<SessionDraft>();
  const attention = useQuery(attentionQuery);
  const list = useInfiniteQuery(sessionsQuery);
  const field = useRef<HTMLInputElement>(null);
  const rows = useRef<HTMLDivElement>(null);
  const create = () => setDraft({});
  useActions(inboxActions({ list: () => rows.current, search: () => field.current, create }));

  const needy = attention.data?.items ?? [];
  useTitle(needy.length === 0 ? "Inbox" : `(${needy.length}) Inbox`);
  useVerdictNews(attention.data?.items);
  const loadedPages = list.data?.pages.length ?? 0;
  const { hasNextPage, isFetching, fetchNextPage } = list;
  useEffect(() => {
    if (hasNextPage && !isFetching && loadedPages < MAX_LOADED_PAGES) void fetchNextPage();
  }, [hasNextPage, isFetching, fetchNextPage, loadedPages]);

  const newest = (list.data?.pages ?? []).flatMap((page) => page.sessions);
  const found = useFoundSessions(search.q ?? "");
  // Those that only the search has found are older.
  const sessions = [...newest, ...found.sessions];
  const next = inboxRows(needy, sessions, search);
  // Pages of older sessions are no news: they come at once.
  const held = useHeldRows(next.rows, rows, JSON.stringify([search, loadedPages, found.sessions.length]), inItsGroup);
  const firstGroup = GROUPS.find((group) => held.rows.some((row) => row.group === group));
  const isLoaded = attention.data !== undefined && list.data !== undefined;
  const failed = [attention, list].find(({ isError, data }) => isError && data === undefined);
  return (
    <div className="page inbox">
      <h1 className="sr">Inbox</h1>
      <InboxBar search={search} sessions={sessions} field={field} onCreate={create} />
      {failed !== undefined && (
        <ErrorNote
          what="The sessions could not be read."
          error={failed.error}
          onRetry={() => void Promise.all([attention.refetch(), list.refetch()])}
        />
      )}
      {!isLoaded && failed === undefined && <Loading what="the sessions" rows={8} height={2.5} />}
      <div ref={rows}>
        <div className="inbox-new">
          <NewRows count={held.waiting} onShow={held.release} />
        </div>
        <CreateSessionProvider value={setDraft}>
          {isLoaded &&
            GROUPS.map((group) => (
              <GroupRows key={group} group={group} rows={held.rows} isFirst={group === firstGroup} />
            ))}
        </CreateSessionProvider>
      </div>
      {isLoaded && <SearchNote {...found} />}
      {isLoaded && held.rows.length === 0 && found.state !== "searching" && (
        <Nothing search={search} hidden={next.hidden} onCreate={create} />
      )}
      {isLoaded && found.state === "none" && hasNextPage && loadedPages >= MAX_LOADED_PAGES && (
        <p className="m2 small mt-4 flex items-center gap-3 px-4">
          The newest {newest.length} sessions are here; a search finds older ones, too.
          <Button isBusy={list.isFetchingNextPage} onClick={() => void fetchNextPage()}>
            Load older ones
          </Button>
        </p>
      )}
      <Suspense fallback={null}>
        {draft !== undefined && <NewSession initial={draft} sessions={sessions} onClose={() => setDraft(undefined)} />}
      </Suspense>
    </div>
  );
}

/** Says how far the search among older sessions has come, until it has seen all. */
function SearchNote({ state, searchOn }: ReturnType<typeof useFoundSessions>) {
  if (state === "none" || state === "done") return <p className="sr" aria-live="polite" />;
  const text =
    state === "searching"
      ? "All sessions are being searched…"
      : state === "failed"
        ? "The older sessions could not be searched."
        : "Not all sessions have been searched yet.";
  return (
    <p className="m2 small mt-2 flex items-center gap-3 px-4" aria-live="polite">
      {text}
      {state !== "searching" && <Button onClick={searchOn}>{state === "failed" ? "Try again" : "Search on"}</Button>}
    </p>
  );
}

const TITLES: Readonly<Record<Group, readonly [title: string, order: string]>> = {
  needs: ["Needs you", "oldest first"],
  running: ["Running", "newest first"],
  rest: ["Rest", "newest first"],
};

interface GroupRowsProps {
  readonly group: Group;
  readonly rows: readonly InboxRow[];
  /** The first of those that are shown names the columns of all. */
  readonly isFirst: boolean;
}

function GroupRows({ group, rows, isFirst }: GroupRowsProps) {
  const [kept, setKept] = useState<string>();
  const mine = rows.filter((row) => row.group === group);
  const [title, order] = TITLES[group];
  if (mine.length === 0) return null;
  const heading = (
    <span>
      <h2>{title}</h2> {mine.length}, {order}
    </span>
  );
  return (
    <section
      aria-label={title}
      className={group === "needs" ? "is-needs" : ""}
      onFocus={(event) => setKept(event.target.closest<HTMLElement>("[data-session]")?.dataset.session)}
      onBlur={() => setKept(undefined)}
    >
      <div className="inbox-columns">
        {heading}
        {isFirst && (
          <>
            <span aria-hidden="true">What it needs, or does</span>
            <span aria-hidden="true">Last hour</span>
            <span className="n" aria-hidden="true">
              Since
            </span>
            <span className="n" aria-hidden="true">
              Cost
            </span>
          </>
        )}
      </div>
      <WindowRows label={title} rows={mine} height={group === "needs" ? 80 : 33} kept={kept}>
        {(row) => <SessionRow row={row} />}
      </WindowRows>
    </section>
  );
}

function Nothing(props: { readonly search: InboxSearch; readonly hidden: number; readonly onCreate: () => void }) {
  const { search, hidden } = props;
  const filters = filterCount(search);
  if (filters > 0) {
    return (
      <Empty
        title={search.q === undefined ? "Nothing matches the filters" : <>Nothing matches “{search.q}”</>}
        action={
          <Link to="/" search={{}} className={buttonClass()}>
            Clear the filters
          </Link>
        }
      >
        {hidden} {hidden === 1 ? "session is" : "sessions are"} hidden by {filters}{" "}
        {filters === 1 ? "filter" : "filters"}.
      </Empty>
    );
  }
  return (
    <Empty
      title="No session yet"
      action={
        <>
          <Button look="primary" icon="add" hint="C" onClick={props.onCreate}>
            New session
          </Button>
          <code className="m2">valet prompt --repo … "…"</code>
        </>
      }
    >
      A session is an agent with its own sandbox and a clone of your repository. It sleeps when nothing happens and
      wakes with the next message.
    </Empty>
  );
}
