/** Why a message took so long, cost so much, or failed: the answer of the API, as a sentence, a picture and figures. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import type { Schemas } from "../../api/client.ts";
import { recentMessagesQuery } from "../../api/recent-messages.ts";
import { useSessionEvents } from "../../api/use-session-events.ts";
import { whyQuery } from "../../api/why.ts";
import { useTitle } from "../../app/use-title.ts";
import { Age, Time } from "../../ui/age.tsx";
import { Icon } from "../../ui/icons.tsx";
import { KIND_LOOKS } from "../../ui/kind.tsx";
import { CopyButton, Empty, ErrorNote, Loading } from "../../ui/notes.tsx";
import { Sentence } from "../../ui/outside-text.tsx";
import { StateMark } from "../../ui/state.tsx";
import { CourseChart } from "./course-chart.tsx";
import { FailureNote } from "./failure-note.tsx";
import { MessageChooser } from "./message-chooser.tsx";
import { MoneyNote } from "./money-note.tsx";
import { OtherSessions } from "./other-sessions.tsx";
import { PartsTable } from "./parts-table.tsx";
import { tinted } from "./tinted.ts";
import "./why.css";

const latest = getRouteApi("/sessions/$sessionId/why");
const one = getRouteApi("/sessions/$sessionId/messages/$messageId/why");

/** Why of the newest message. */
export function WhyLatest() {
  const { sessionId } = latest.useParams();
  const { data, isError, error, refetch } = useQuery(recentMessagesQuery(sessionId));
  useWhyNews(sessionId);
  const [newest] = data ?? [];
  if (newest !== undefined) return <Why sessionId={sessionId} messageId={newest.id} />;
  return (
    <div className="page">
      {isError && <ErrorNote what="The messages could not be read." error={error} onRetry={() => void refetch()} />}
      {data !== undefined && (
        <Empty title="No message yet">
          When the session has a message, this page says where its time and its money went, and why it failed.
        </Empty>
      )}
      {data === undefined && !isError && <Loading what="the answer" rows={8} />}
    </div>
  );
}

/** Why of the message in the address. */
export function WhyMessage() {
  const { sessionId, messageId } = one.useParams();
  useWhyNews(sessionId);
  return <Why sessionId={sessionId} messageId={messageId} />;
}

/** Reads again what the session's events say has changed: the list of messages, and the answer when a message or its turn ends. */
function useWhyNews(sessionId: string): void {
  const queryClient = useQueryClient();
  useSessionEvents(sessionId, (event) => {
    if (event.type === "message") {
      const { id } = event.message;
      void queryClient.invalidateQueries({ queryKey: recentMessagesQuery(sessionId).queryKey });
      void queryClient.invalidateQueries({ queryKey: whyQuery(sessionId, id).queryKey });
    }
    if (event.type === "turn") {
      for (const id of event.turn.message_ids) {
        void queryClient.invalidateQueries({ queryKey: whyQuery(sessionId, id).queryKey });
      }
    }
  });
}

function Why({ sessionId, messageId }: { readonly sessionId: string; readonly messageId: string }) {
  const { data: view, isError, error, refetch } = useQuery(whyQuery(sessionId, messageId));
  useTitle("Why");
  return (
    <div className="page why">
      <h2 className="sr">Why</h2>
      <MessageChooser sessionId={sessionId} messageId={messageId} />
      {view === undefined && isError && (
        <ErrorNote what="The answer could not be read." error={error} onRetry={() => void refetch()} />
      )}
      {view === undefined && !isError && <Loading what="the answer" rows={8} height={2.25} />}
      {view !== undefined && (
        <>
          <section aria-label="Answer">
            <p className="why-say">
              {tinted(view.sentence, view.time.parts).map(({ text, kind, at }) =>
                kind === undefined ? (
                  <Sentence key={at} text={text} />
                ) : (
                  <b key={at} className={kind === "other" ? "" : KIND_LOOKS[kind].text}>
                    <Sentence text={text} />
                  </b>
                ),
              )}
            </p>
            <div className="why-acts">
              <Outcome view={view} />
              <CopyButton text={view.sentence} label="Copy the answer" />
              <span className="small m">
                {view.state === "ended" ? (
                  <>
                    answered at <Time at={view.at} />
                  </>
                ) : (
                  <>
                    as of <Age since={view.at} /> ago
                  </>
                )}
                {isError && "; the newest answer could not be read"}
              </span>
            </div>
          </section>
          <CourseChart key={messageId} view={view} />
          <div className="why-columns">
            <div className="min-w-0">
              <PartsTable
                key={messageId}
                label="Where the time went, largest first"
                time={view.time}
                sessionId={sessionId}
                isOpen={view.state !== "ended"}
              />
              <OtherSessions sessions={view.sessions} />
            </div>
            <div className="why-aside">
              {view.failure !== null && <FailureNote failure={view.failure} sessionId={sessionId} />}
              <MoneyNote money={view.money} />
            </div>
          </div>
        </>
      )}
    </div>
  );
}

/** How the message ended, or what it does. */
function Outcome({ view: { state, outcome } }: { readonly view: Schemas["WhyView"] }) {
  if (state !== "ended") return <StateMark state={state === "running" ? "working" : state} />;
  if (outcome === "error") return <StateMark state="failed" />;
  if (outcome === "ok" || outcome === "lost" || outcome === "aborted") return <StateMark state={outcome} />;
  return (
    <span className="tag">
      <Icon name="end" />
      {outcome}
    </span>
  );
}
