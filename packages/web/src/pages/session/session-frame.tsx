import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, Outlet } from "@tanstack/react-router";
import { ApiError } from "../../api/problem.ts";
import { nowQuery, sessionQuery } from "../../api/sessions.ts";
import { useLiveSession } from "../../api/use-session-events.ts";
import { useTitle } from "../../app/use-title.ts";
import { SessionActions } from "../../conversation/session-actions.tsx";
import { repositoryName, sessionTitle } from "../../format/session-names.ts";
import { Age } from "../../ui/age.tsx";
import { buttonClass } from "../../ui/button.tsx";
import { Money } from "../../ui/figure.tsx";
import { Icon } from "../../ui/icons.tsx";
import { Empty, ErrorNote, Loading } from "../../ui/notes.tsx";
import { OutsideText, Sentence } from "../../ui/outside-text.tsx";
import { StateMark, shownState } from "../../ui/state.tsx";
import { SessionTabs } from "./session-tabs.tsx";

const route = getRouteApi("/sessions/$sessionId");

/** The head of a session, above each of its pages: what it is, what it does now, its cost, the ways to its pages. */
export default function SessionFrame() {
  const { sessionId } = route.useParams();
  useLiveSession(sessionId);
  const session = useQuery(sessionQuery(sessionId));
  const now = useQuery(nowQuery(sessionId));
  const title = sessionTitle({ id: sessionId, title: session.data?.title });
  useTitle(title);
  // What it does now is asked every few seconds.
  const gone = [session, now].find(({ error }) => isGone(error))?.error;
  if (gone !== undefined) return <SessionGone wasDeleted={isDeleted(gone)} />;
  if (session.isError && session.data === undefined) {
    return (
      <div className="page">
        <h1 className="sr">Session</h1>
        <ErrorNote
          what="The session could not be read."
          error={session.error}
          onRetry={() => void Promise.all([session.refetch(), now.refetch()])}
        />
      </div>
    );
  }
  const repository = repositoryName(session.data?.repoUrl);
  return (
    <>
      <div className="head">
        <div className="line">
          <h1 className="min-w-0">
            <OutsideText text={title} className="block cut" max={300} />
          </h1>
          {repository !== undefined && (
            <span className="tag min-w-0">
              <Icon name="branch" />
              <OutsideText text={repository} className="cut" max={200} />
              <OutsideText text={session.data?.branch ?? ""} className="mono cut" max={200} />
            </span>
          )}
          <span className="grow" />
          {now.data !== undefined && (
            <span className="small">
              <span className="m">Cost</span> <Money usd={now.data.cost_usd} isPartial={now.data.isCostPartial} />
            </span>
          )}
          {session.data !== undefined && <SessionActions session={session.data} now={now.data} />}
        </div>
        {now.data === undefined ? (
          <Loading what="the session" rows={1} height={1.25} />
        ) : (
          <p className="mt-1 flex flex-wrap items-center gap-x-2">
            <StateMark state={shownState(now.data.verdict.state, session.data?.status)} />
            <span className="m2 small">
              since <Age since={now.data.verdict.since} />
            </span>
            <Sentence text={now.data.verdict.why} />
          </p>
        )}
        {(session.data?.warnings ?? []).map(({ type, message }) => (
          <p key={type} className="m2 small mt-0.5">
            <Sentence text={`Warning: ${message}`} />
          </p>
        ))}
        <SessionTabs key={sessionId} sessionId={sessionId} />
      </div>
      <Outlet />
    </>
  );
}

/** Returns whether a session was deleted, does not exist, or is somebody else's. The API does not tell the last two apart. */
function isGone(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 404 || isDeleted(error));
}

function isDeleted(error: unknown): boolean {
  return error instanceof ApiError && error.status === 410;
}

/**
 * @param wasDeleted whether the API says that it was deleted; it says so only to the session's owner. Without it the session may still
 * exist: perhaps another tab has signed in as somebody else
 */
function SessionGone({ wasDeleted }: { readonly wasDeleted: boolean }) {
  return (
    <div className="page">
      <h1 className="sr">{wasDeleted ? "The session was deleted" : "No such session"}</h1>
      <Empty
        title={wasDeleted ? "This session was deleted" : "There is no such session, or it is not yours"}
        action={
          <Link to="/" className={buttonClass()}>
            To the inbox
          </Link>
        }
      >
        {wasDeleted
          ? "Its sandbox, its files, its conversation and its traces are gone for good."
          : "A session that was deleted is gone for good, and one of another owner is shown to nobody else. Check the address, or sign in as its owner."}
      </Empty>
    </div>
  );
}
