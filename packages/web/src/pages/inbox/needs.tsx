/** What a session needs, as a sentence, and the ways to give it. */
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { abortSession, retryLastMessage, wakeSession } from "../../api/changes.ts";
import type { Schemas } from "../../api/client.ts";
import { useChange } from "../../api/use-change.ts";
import { PermissionAnswer, PermissionText } from "../../requests/permission-answer.tsx";
import { QuestionAnswer, QuestionText } from "../../requests/question-answer.tsx";
import { Button, buttonClass } from "../../ui/button.tsx";
import { Sentence } from "../../ui/outside-text.tsx";
import { stateWord } from "../../ui/state.tsx";
import type { InboxRow } from "./inbox-groups.ts";
import { type SessionDraft, useCreateSession } from "./session-draft.ts";

interface NeedsProps {
  readonly row: InboxRow;
  readonly verdict: Schemas["VerdictView"];
  readonly now: Schemas["NowView"] | undefined;
}

export function Needs({ row, verdict, now }: NeedsProps) {
  const [permission] = now?.permissions ?? [];
  const [question] = now?.questions ?? [];
  if (verdict.state === "waiting_for_person" && now !== undefined) {
    if (permission !== undefined) {
      return (
        <Said
          text={<PermissionText permission={permission} />}
          actions={<PermissionAnswer key={permission.id} sessionId={row.id} permission={permission} hasKeys />}
        />
      );
    }
    if (question !== undefined) {
      return (
        <Said
          text={<QuestionText request={question} />}
          actions={<QuestionAnswer key={question.id} sessionId={row.id} request={question} hasKeys />}
        />
      );
    }
  }
  const word = stateWord(verdict.state);
  // The list knows no content, such as what failed in the repository; the session itself does.
  const { why } = now !== undefined && now.verdict.state === verdict.state ? now.verdict : verdict;
  return (
    <Said
      text={
        <>
          <b>{`${word.charAt(0).toUpperCase()}${word.slice(1)}.`}</b> <Sentence text={why} max={600} />
        </>
      }
      actions={<Remedies row={row} verdict={verdict} now={now} />}
    />
  );
}

function Said({ text, actions }: { readonly text: ReactNode; readonly actions: ReactNode }) {
  return (
    <>
      <p>{text}</p>
      <div className="acts">{actions}</div>
    </>
  );
}

/** Failures for what the session was created with: the same session fails again, one with another branch or URL may not. */
const ASKED_WRONG: readonly string[] = [
  "git_ref_not_found",
  "git_not_found",
  "git_not_a_repository",
  "git_host_not_found",
];

function draftOf({ repoUrl, branch, model, title }: Schemas["SessionView"]): SessionDraft {
  return {
    ...(repoUrl !== undefined && { repoUrl }),
    ...(branch !== undefined && { branch }),
    ...(model !== undefined && { model }),
    ...(title !== undefined && { title }),
  };
}

function Remedies({ row, verdict, now }: NeedsProps) {
  const { id: sessionId, session } = row;
  const createSession = useCreateSession();
  const abort = useChange(sessionId, () => abortSession(sessionId));
  const wake = useChange(sessionId, () => wakeSession(sessionId));
  const retry = useChange(sessionId, () => retryLastMessage(sessionId));
  // A workflow cannot be sent again: the API does not give its steps.
  const canRetry = verdict.rule === "job_failed" && !verdict.why.startsWith("The last workflow");
  const canAbort = now !== undefined && now.running.length > 0;
  return (
    <>
      {canAbort && (
        <Button data-action="abort" hint="A" isBusy={abort.isPending || abort.isSuccess} onClick={() => abort.mutate()}>
          {abort.isSuccess ? "Aborting…" : "Abort the turn"}
        </Button>
      )}
      {verdict.rule === "session_error" && (
        <Button isBusy={wake.isPending || wake.isSuccess} onClick={() => wake.mutate()}>
          {wake.isSuccess ? "Starting…" : "Start it again"}
        </Button>
      )}
      {session?.failure !== undefined && ASKED_WRONG.includes(session.failure.type) && (
        <Button onClick={() => createSession(draftOf(session))}>Create it anew…</Button>
      )}
      {canRetry && (
        <Button isBusy={retry.isPending || retry.isSuccess} onClick={() => retry.mutate()}>
          {retry.isSuccess ? "Sent again" : "Send it again"}
        </Button>
      )}
      <Link to="/sessions/$sessionId" params={{ sessionId }} className={buttonClass()}>
        Look
      </Link>
    </>
  );
}
