/** What each turn changed in the repository. The session stores it, so it is here while the session sleeps, too. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { changesQuery, readPatch } from "../../api/diff.ts";
import { recentMessagesQuery } from "../../api/recent-messages.ts";
import { useSessionEvents } from "../../api/use-session-events.ts";
import { recentWorkflowsQuery } from "../../api/workflows.ts";
import { useTitle } from "../../app/use-title.ts";
import { buttonClass } from "../../ui/button.tsx";
import { Change, Count } from "../../ui/figure.tsx";
import { CopyButton, Empty, ErrorNote, Loading, Notice } from "../../ui/notes.tsx";
import { TurnChanges } from "./turn-changes.tsx";
import "./changes.css";

const route = getRouteApi("/sessions/$sessionId/changes");

export default function ChangesPage() {
  const { sessionId } = route.useParams();
  const { from, to } = route.useSearch();
  const queryClient = useQueryClient();
  const { data, isError, error, refetch } = useQuery(changesQuery(sessionId, from, to));
  const { data: messages = [] } = useQuery(recentMessagesQuery(sessionId));
  const { data: workflows = [] } = useQuery(recentWorkflowsQuery(sessionId));
  useTitle("Changes");
  useSessionEvents(sessionId, (event) => {
    // A turn's record comes with its end, and again with what it changed.
    if (event.type !== "turn") return;
    void queryClient.invalidateQueries({ queryKey: ["sessions", sessionId, "changes"] });
    void queryClient.invalidateQueries({ queryKey: recentMessagesQuery(sessionId).queryKey });
    void queryClient.invalidateQueries({ queryKey: recentWorkflowsQuery(sessionId).queryKey });
  });
  const turns = data?.turns.toReversed() ?? [];
  // The newest turn that changed something is unfolded.
  const telling = turns.findIndex(({ files }) => files.length > 0);
  const isPart = from !== undefined || to !== undefined;
  return (
    <div className="page changes">
      <h2 className="sr">Changes</h2>
      {data === undefined && isError && (
        <ErrorNote what="The changes could not be read." error={error} onRetry={() => void refetch()}>
          {isPart && <AllTurns sessionId={sessionId} />}
        </ErrorNote>
      )}
      {data === undefined && !isError && <Loading what="the changes" rows={8} />}
      {data !== undefined && (
        <div className="changes-sum">
          <span>
            <b>
              <Count count={data.files_changed} /> {data.files_changed === 1 ? "file" : "files"}
            </b>{" "}
            in <Count count={turns.length} /> {turns.length === 1 ? "turn" : "turns"}
          </span>
          <Change added={data.lines_added} removed={data.lines_removed} />
          <span className="m2">
            <Count count={data.commits} /> {data.commits === 1 ? "commit" : "commits"}
          </span>
          {data.unknown_turns > 0 && (
            <span className="m2">without {data.unknown_turns} of the turns, whose changes are unknown</span>
          )}
          <span className="grow" />
          {isPart && <AllTurns sessionId={sessionId} />}
          {turns.some(({ patch }) => patch === "whole" || patch === "cut") && (
            <CopyButton text={() => readPatch(sessionId, from, to)} label="Copy the patch" />
          )}
        </div>
      )}
      {data !== undefined && isError && (
        <Notice icon="failed" isBad className="mb-3">
          The newest changes could not be read; these are older.
        </Notice>
      )}
      {data !== undefined && turns.length === 0 && (
        <Empty title="No turn yet">When a turn has ended, what it changed in the repository is here, as a diff.</Empty>
      )}
      {turns.map((turn, index) => (
        <TurnChanges
          key={turn.turn_id}
          sessionId={sessionId}
          turn={turn}
          recent={messages.filter(({ id }) => turn.message_ids.includes(id))}
          workflow={workflows.find(({ id }) => turn.message_ids.includes(id))}
          isOpenFirst={index === Math.max(telling, 0)}
        />
      ))}
      {data !== undefined && data.omitted_turns > 0 && (
        <p className="m2 small mt-4">{data.omitted_turns} older turns are left out: the page shows 200 at once.</p>
      )}
    </div>
  );
}

function AllTurns({ sessionId }: { readonly sessionId: string }) {
  return (
    <Link to="/sessions/$sessionId/changes" params={{ sessionId }} search={{}} className={buttonClass("quiet")}>
      All turns
    </Link>
  );
}
