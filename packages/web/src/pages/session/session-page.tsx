import { useQuery } from "@tanstack/react-query";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { nowQuery } from "../../api/sessions.ts";
import { Timeline } from "../../timeline/timeline.tsx";
import { Sentence } from "../../ui/outside-text.tsx";

const route = getRouteApi("/sessions/$sessionId/");

/** What the session does now, and what to do about it. */
export default function SessionPage() {
  const { sessionId } = route.useParams();
  const search = route.useSearch();
  const navigate = useNavigate();
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
      <Timeline
        sessionId={sessionId}
        selection={search}
        onSelect={(selection) => void navigate({ to: ".", search: selection, replace: true, resetScroll: false })}
      />
    </div>
  );
}
