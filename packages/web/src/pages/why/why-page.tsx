/** Why a message or a workflow took so long, cost so much, or failed: the answer of the API, as a sentence, a picture and figures. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { currentJob } from "@valet/shared/answers/current-job";
import type { Schemas } from "../../api/client.ts";
import { recentMessagesQuery } from "../../api/recent-messages.ts";
import { nowQuery } from "../../api/sessions.ts";
import { useSessionEvents } from "../../api/use-session-events.ts";
import { whyQuery } from "../../api/why.ts";
import { recentWorkflowsQuery } from "../../api/workflows.ts";
import { useTitle } from "../../app/use-title.ts";
import { Age, Time } from "../../ui/age.tsx";
import { Icon } from "../../ui/icons.tsx";
import { KIND_LOOKS } from "../../ui/kind.tsx";
import { CopyButton, Empty, ErrorNote, Loading } from "../../ui/notes.tsx";
import { Sentence } from "../../ui/outside-text.tsx";
import { StateMark } from "../../ui/state.tsx";
import { CourseChart } from "./course-chart.tsx";
import { FailureNote } from "./failure-note.tsx";
import { JobChooser } from "./job-chooser.tsx";
import { MoneyNote } from "./money-note.tsx";
import { OtherSessions } from "./other-sessions.tsx";
import { PartsTable } from "./parts-table.tsx";
import { tinted } from "./tinted.ts";
import "./why.css";

const latest = getRouteApi("/sessions/$sessionId/why");
const one = getRouteApi("/sessions/$sessionId/messages/$messageId/why");

/** Why of the session's current job, as {@link currentJob} finds it. */
export function WhyLatest() {
  const { sessionId } = latest.useParams();
  const reads = [
    useQuery(nowQuery(sessionId)),
    useQuery(recentMessagesQuery(sessionId)),
    useQuery(recentWorkflowsQuery(sessionId)),
  ] as const;
  useWhyNews(sessionId);
  const [{ data: now }, { data: messages }, { data: workflows }] = reads;
  const isRead = now !== undefined && messages !== undefined && workflows !== undefined;
  const job = isRead ? currentJob(now, messages, workflows) : undefined;
  if (job !== undefined) return <Why sessionId={sessionId} jobId={job.id} />;
  const failed = reads.find(({ data, isError }) => data === undefined && isError);
  return (
    <div className="page">
      {failed !== undefined && (
        <ErrorNote
          what="The messages could not be read."
          error={failed.error}
          onRetry={() => void Promise.all(reads.map(({ refetch }) => refetch()))}
        />
      )}
      {isRead && (
        <Empty title="No message yet">
          When the session has a message, this page says where its time and its money went, and why it failed.
        </Empty>
      )}
      {!isRead && failed === undefined && <Loading what="the answer" rows={8} />}
    </div>
  );
}

/** Why of the message or the workflow in the address. */
export function WhyMessage() {
  const { sessionId, messageId } = one.useParams();
  useWhyNews(sessionId);
  return <Why sessionId={sessionId} jobId={messageId} />;
}

/** Reads again what the session's events say has changed: the lists of jobs, and the answer when a job or its turn ends. */
function useWhyNews(sessionId: string): void {
  const queryClient = useQueryClient();
  useSessionEvents(sessionId, (event) => {
    if (event.type === "message") {
      const { id } = event.message;
      void queryClient.invalidateQueries({ queryKey: recentMessagesQuery(sessionId).queryKey });
      void queryClient.invalidateQueries({ queryKey: whyQuery(sessionId, id).queryKey });
    }
    if (event.type === "workflow") {
      void queryClient.invalidateQueries({ queryKey: recentWorkflowsQuery(sessionId).queryKey });
      void queryClient.invalidateQueries({ queryKey: whyQuery(sessionId, event.workflow.id).queryKey });
    }
    if (event.type === "turn") {
      for (const id of event.turn.message_ids) {
        void queryClient.invalidateQueries({ queryKey: whyQuery(sessionId, id).queryKey });
      }
    }
  });
}

function Why({ sessionId, jobId }: { readonly sessionId: string; readonly jobId: string }) {
  const { data: view, isError, error, refetch } = useQuery(whyQuery(sessionId, jobId));
  useTitle("Why");
  return (
    <div className="page why">
      <h2 className="sr">Why</h2>
      <JobChooser sessionId={sessionId} jobId={jobId} />
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
          <CourseChart key={jobId} view={view} />
          <div className="why-columns">
            <div className="min-w-0">
              <PartsTable
                key={jobId}
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

/** How the job ended, or what it does. */
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
