/** The end of the line of a message or a workflow: how it ended, and its figures. */
import { Count, Duration, Money } from "../ui/figure.tsx";
import { Icon } from "../ui/icons.tsx";
import type { Message, Turn, Workflow } from "./conversation.ts";
import { jobSummary } from "./job-summary.ts";

type Job = Message | Workflow;

interface FiguresProps {
  readonly job: Job;
  readonly turns: readonly Turn[];
}

export function JobFigures({ job, turns }: FiguresProps) {
  const { ms, costUsd, isCostPartial, filesChanged, lost } = jobSummary(job, turns);
  if (job.status !== "done") return <span className="m">{job.status === "queued" ? "queued" : "runs"}</span>;
  const isTimed = ms !== null;
  return (
    <>
      <OutcomeMark job={job} isLast={!isTimed && turns.length === 0} />
      {lost > 0 && (
        <span className="fold-mark">
          <Icon
            name="lost"
            className="t-failed"
            label={lost === 1 ? "One attempt was lost" : `${lost} attempts were lost`}
          />{" "}
          {lost} lost ·{" "}
        </span>
      )}
      {filesChanged !== null && filesChanged > 0 && (
        <span className="fold-files">
          <Count count={filesChanged} /> {filesChanged === 1 ? "file" : "files"} ·{" "}
        </span>
      )}
      {isTimed && <Duration ms={ms} />}
      {turns.length > 0 && (
        <>
          {isTimed && " · "}
          <Money usd={costUsd} isPartial={isCostPartial} />
        </>
      )}
    </>
  );
}

/** @param isLast whether no figure follows, since the job was never dispatched */
function OutcomeMark({ job: { outcome }, isLast }: { readonly job: Job; readonly isLast: boolean }) {
  if (outcome === undefined || outcome === "ok") return null;
  const isBad = outcome === "error" || outcome === "lost";
  return (
    <span className={`fold-mark ${isBad ? "t-failed" : "m"}`}>
      <Icon name={outcome === "error" ? "failed" : outcome === "lost" ? "lost" : "end"} />{" "}
      {outcome === "error" ? "failed" : outcome}
      {!isLast && " · "}
    </span>
  );
}
