/** Which message or workflow the answer is about, and the way to another one. */
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { messageQuery } from "../../api/messages.ts";
import { recentMessagesQuery } from "../../api/recent-messages.ts";
import { isWorkflow, recentWorkflowsQuery, workflowQuery } from "../../api/workflows.ts";
import { Time } from "../../ui/age.tsx";
import { Button } from "../../ui/button.tsx";
import { Icon } from "../../ui/icons.tsx";
import { Menu, MenuChoice, MenuLabel } from "../../ui/menu.tsx";
import { OutsideText } from "../../ui/outside-text.tsx";
import { type ListedJob, listedMessage, listedWorkflow, newestFirst } from "./listed-jobs.ts";

interface ChooserProps {
  readonly sessionId: string;
  readonly jobId: string;
}

/** How much of a job's title says which one it is. */
const MAX_TITLE = 120;

export function JobChooser({ sessionId, jobId }: ChooserProps) {
  const { data: messages } = useQuery(recentMessagesQuery(sessionId));
  const { data: workflows } = useQuery(recentWorkflowsQuery(sessionId));
  const navigate = useNavigate();
  const jobs = newestFirst(messages ?? [], workflows ?? []);
  const recent = jobs.find(({ id }) => id === jobId);
  const older = useOlder(sessionId, jobId, messages !== undefined && workflows !== undefined && recent === undefined);
  const chosen = recent ?? older;
  return (
    <div className="why-which small">
      <span className="cut">
        {chosen === undefined ? (
          <OutsideText text={jobId} className="mono" />
        ) : (
          <>
            {chosen.kind === "workflow" && "Workflow "}“<OutsideText text={chosen.title} max={MAX_TITLE} />”
          </>
        )}
      </span>
      {chosen !== undefined && (
        <span className="m cut">
          # <OutsideText text={chosen.channel} max={60} />
          {chosen.by !== undefined && (
            <>
              {" "}
              · <OutsideText text={chosen.by} max={60} />
            </>
          )}{" "}
          · since <Time at={chosen.acceptedAt} />
        </span>
      )}
      <Menu
        trigger={(own) => (
          <Button look="quiet" {...own}>
            Another one <Icon name="down" />
          </Button>
        )}
      >
        <MenuLabel>{workflows?.length ? "The newest messages and workflows" : "The newest messages"}</MenuLabel>
        {jobs.map((job) => (
          <MenuChoice
            key={job.id}
            isChosen={job.id === jobId}
            onSelect={() =>
              void navigate({
                to: "/sessions/$sessionId/messages/$messageId/why",
                params: { sessionId, messageId: job.id },
              })
            }
          >
            {job.kind === "workflow" && "Workflow "}
            <OutsideText text={job.title} max={60} />
            <span className="m small">
              {" "}
              {job.state} · <Time at={job.acceptedAt} />
            </span>
          </MenuChoice>
        ))}
      </Menu>
    </div>
  );
}

/** Reads a job that is not among the newest. @param isNeeded whether it is none of them */
function useOlder(sessionId: string, jobId: string, isNeeded: boolean): ListedJob | undefined {
  const isMessage = !isWorkflow(jobId);
  const { data: message } = useQuery({ ...messageQuery(sessionId, jobId), enabled: isNeeded && isMessage });
  const { data: workflow } = useQuery({ ...workflowQuery(sessionId, jobId), enabled: isNeeded && !isMessage });
  if (message) return listedMessage(message);
  return workflow && listedWorkflow(workflow);
}
