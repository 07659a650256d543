import { useQuery } from "@tanstack/react-query";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { nowQuery } from "../../api/sessions.ts";
import { TimelinePane } from "../../timeline/timeline-pane.tsx";
import { Sentence } from "../../ui/outside-text.tsx";
import type { SessionSearch } from "./session-search.ts";

const route = getRouteApi("/sessions/$sessionId/");

/** What the session does now, and what to do about it. */
export default function SessionPage() {
  const { sessionId } = route.useParams();
  const search = route.useSearch();
  const navigate = useNavigate();
  const select = (next: SessionSearch) => void navigate({ to: ".", search: next, replace: true, resetScroll: false });
  const { data } = useQuery(nowQuery(sessionId));
  if (data === undefined) return null;
  const { nextStep, command } = data.verdict;
  return (
    <div className="page">
      <section className="card">
        <h2>What to do</h2>
        <p className="mt-0.5">
          <Sentence text={nextStep} />
        </p>
        {command !== null && (
          <p className="mt-2">
            <code>
              <Sentence text={command} />
            </code>
          </p>
        )}
      </section>
      <TimelinePane
        sessionId={sessionId}
        selection={search}
        onSelect={(selection) => select({ ...selection, ...(search.tab !== undefined && { tab: search.tab }) })}
        tab={search.tab ?? "conversation"}
        onTab={(tab) => {
          const { tab: _, ...rest } = search;
          select(tab === "timeline" ? { ...rest, tab } : rest);
        }}
      />
    </div>
  );
}
