/** The lines of a message or a workflow around its answer: its head, what was said, what it does now, how it ended. */
import { lacksCost } from "@valet/shared/protocol/cost";
import { withdrawMessage } from "../api/changes.ts";
import { useChange } from "../api/use-change.ts";
import { firstLine } from "../format/first-line.ts";
import { withKeys } from "../format/with-keys.ts";
import { Age, Time } from "../ui/age.tsx";
import { Button } from "../ui/button.tsx";
import { Duration, Money } from "../ui/figure.tsx";
import { Icon } from "../ui/icons.tsx";
import { OutsideText, Sentence } from "../ui/outside-text.tsx";
import type { Message, Turn, Workflow } from "./conversation.ts";
import { JobFigures } from "./job-figures.tsx";
import { Markdown } from "./markdown.tsx";
import { PageLink } from "./page-link.tsx";
import { queueSentence } from "./queue-words.ts";
import { isWorkflow } from "./rows.ts";

type Job = Message | Workflow;

interface HeadProps {
  readonly job: Job;
  readonly turns: readonly Turn[];
  readonly isOpen: boolean;
  readonly isSelected: boolean;
  readonly onToggle: () => void;
}

/** One line for all of a turn. */
export function JobHead({ job, turns, isOpen, isSelected, onToggle }: HeadProps) {
  const title = isWorkflow(job) ? job.name : firstLine(job.content);
  return (
    <button
      type="button"
      className="fold"
      aria-expanded={isOpen}
      aria-current={isSelected ? "true" : undefined}
      data-row
      onClick={onToggle}
    >
      <Icon name={isOpen ? "down" : "right"} className="m" />
      <span className="small fold-when">
        <Time at={job.acceptedAt} />
      </span>
      <span className="cut">
        {isWorkflow(job) && <span className="m">Workflow </span>}
        {!isWorkflow(job) && job.source === "system" && <span className="m">From Valet: </span>}
        {isOpen && !isWorkflow(job) ? (
          <b>
            <OutsideText text={authorOf(job)} max={200} />
          </b>
        ) : (
          <OutsideText text={title} />
        )}
        <span className="m">
          {" "}
          # <OutsideText text={job.channel} max={60} />
        </span>
      </span>
      <span className="n small fold-figures">
        <JobFigures job={job} turns={turns} />
      </span>
    </button>
  );
}

function authorOf({ author, userId, source }: Message): string {
  if (source === "system") return "a note to the agent";
  return author?.name ?? author?.id ?? userId ?? "You";
}

export function Said({ message }: { readonly message: Message }) {
  const { attachments, content } = message;
  return (
    <div className={`said is-sent${message.source === "system" ? " m2" : ""}`}>
      <Markdown text={content} />
      {attachments.length > 0 && (
        <p className="m small">
          With {attachments.length === 1 ? "the file" : "the files"}{" "}
          {withKeys(attachments, ({ filename }) => filename).map(({ key, item }, index) => (
            <span key={key}>
              {index > 0 && ", "}
              <OutsideText text={item.filename} className="mono" max={200} />
            </span>
          ))}
        </p>
      )}
    </div>
  );
}

/** An attempt that was lost. */
export function LostAttempt({ turn }: { readonly turn: Turn }) {
  return (
    <p className="row-line t-failed">
      <Icon name="lost" />
      <span className="grow">
        Attempt {turn.attempt} was lost
        {turn.error_type !== null && (
          <>
            {" "}
            (<code>{turn.error_type}</code>)
          </>
        )}
        ; the work went on with the next.
      </span>
      <span className="n">
        <Duration ms={turn.turn_ms} /> · <Money usd={turn.cost_usd} isPartial={lacksCost(turn)} />
      </span>
    </p>
  );
}

interface NowLineProps {
  readonly sessionId: string;
  readonly job: Job;
  readonly isWriting: boolean;
}

export function NowLine({ sessionId, job, isWriting }: NowLineProps) {
  const withdraw = useChange(sessionId, () => withdrawMessage(sessionId, job.id));
  if (job.status === "queued") {
    return (
      <p className="row-line t-queue">
        <Icon name="queue" />
        <span className="grow">
          {queueSentence(job.queueReason, job.capacityPlace)}
          {job.attempts > 0 && " An attempt was lost; it starts again."}
        </span>
        <span className="n m">
          <Age since={job.acceptedAt} />
        </span>
        {!isWorkflow(job) && (
          <Button look="quiet" isBusy={withdraw.isPending} onClick={() => withdraw.mutate()}>
            Withdraw
          </Button>
        )}
      </p>
    );
  }
  return (
    <p className="row-line t-model">
      <Icon name="run" />
      <span className="grow">
        {job.status === "dispatched" ? "Handed to the agent" : isWriting ? "The agent writes" : "The agent works"}
      </span>
      <span className="n m">{job.dispatchedAt !== undefined && <Age since={job.dispatchedAt} />}</span>
    </p>
  );
}

/** How a turn ended, and the ways to what it did. */
export function EndLine({
  sessionId,
  job,
  turns,
}: {
  readonly sessionId: string;
  readonly job: Job;
  readonly turns: readonly Turn[];
}) {
  const turn = turns.at(-1);
  return (
    <div className="row-end">
      {job.failure !== undefined && (
        <p className="row-fail t-failed">
          <Icon name={job.outcome === "lost" ? "lost" : "failed"} />
          <Sentence text={job.failure.message} />
        </p>
      )}
      {job.failure === undefined && job.outcome !== "ok" && (
        <p className="row-fail m2">
          <Icon name="end" />
          <Sentence text={endWords(job)} />
        </p>
      )}
      {!isWorkflow(job) && job.outcome === "ok" && job.parts.length === 0 && (turn?.message_ids.length ?? 0) > 1 && (
        <p className="m2">It was answered together with the messages after it.</p>
      )}
      <Ways sessionId={sessionId} job={job} turn={turn} />
    </div>
  );
}

function endWords({ outcome, outcomeReason, abortedBy }: Job): string {
  const reason = outcomeReason === undefined ? "" : ` (${outcomeReason})`;
  const by = abortedBy === undefined ? "" : ` by ${abortedBy}`;
  return `It was ${outcome ?? "ended"}${by}${reason}.`;
}

/** Links to why it took so long, to its trace, and to what it changed. */
function Ways({
  sessionId,
  job,
  turn,
}: {
  readonly sessionId: string;
  readonly job: Job;
  readonly turn: Turn | undefined;
}) {
  const files = turn?.files_changed ?? 0;
  return (
    <p className="row-ways">
      <PageLink
        path="/sessions/$sessionId/messages/$messageId/why"
        params={{ sessionId, messageId: job.id }}
        className="btn quiet"
      >
        Why so long
      </PageLink>
      {job.traceId !== undefined && (
        <PageLink
          path="/sessions/$sessionId/traces/$traceId"
          params={{ sessionId, traceId: job.traceId }}
          className="btn quiet"
        >
          Trace
        </PageLink>
      )}
      {files > 0 && (
        <PageLink
          path="/sessions/$sessionId/changes"
          params={{ sessionId }}
          search={{ from: job.id, to: job.id }}
          className="btn quiet"
        >
          {files === 1 ? "1 changed file" : `${files} changed files`}
        </PageLink>
      )}
    </p>
  );
}
