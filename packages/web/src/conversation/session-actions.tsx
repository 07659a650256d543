/** What can be done to a session as a whole: buttons for what is near, a menu for the rest, a question before what cannot be undone. */
import { useNavigate } from "@tanstack/react-router";
import { lazy, Suspense, useState } from "react";
import { abortSession, wakeSession } from "../api/changes.ts";
import type { Schemas } from "../api/client.ts";
import { clearQueue, deleteSession, hibernateSession, terminateSession } from "../api/lifecycle.ts";
import { useChange } from "../api/use-change.ts";
import { useActions } from "../app/actions.ts";
import { announce } from "../app/announce.ts";
import { Button, IconButton } from "../ui/button.tsx";
import { copyText } from "../ui/copy-text.ts";
import { Menu, MenuItem, MenuLine } from "../ui/menu.tsx";
import { possibleActions } from "./possible-actions.ts";

const Confirm = lazy(() => import("./confirm.tsx"));

interface SessionActionsProps {
  readonly session: Schemas["SessionView"];
  readonly now: Schemas["NowView"] | undefined;
}

type Question = "clear" | "terminate" | "delete" | undefined;

export function SessionActions({ session, now }: SessionActionsProps) {
  const { id } = session;
  const [question, setQuestion] = useState<Question>();
  const navigate = useNavigate();
  const abort = useChange(id, () => abortSession(id));
  const hibernate = useChange(id, () => hibernateSession(id));
  const wake = useChange(id, () => wakeSession(id));
  const can = possibleActions(session, now);
  useActions([
    {
      label: "Abort the turn",
      group: "Session",
      keys: "a",
      asksTwice: true,
      applies: () => can.abort,
      run: () => abort.mutate(),
    },
    {
      label: "Hibernate",
      group: "Session",
      keys: "h",
      asksTwice: true,
      applies: () => can.hibernate,
      run: () => hibernate.mutate(),
    },
    { label: "Wake", group: "Session", keys: "w", applies: () => can.wake, run: () => wake.mutate() },
    { label: "Clear the queue…", group: "Session", applies: () => can.clear, run: () => setQuestion("clear") },
    {
      label: "Terminate the session…",
      group: "Session",
      applies: () => can.terminate,
      run: () => setQuestion("terminate"),
    },
    { label: "Delete the session…", group: "Session", applies: () => can.delete, run: () => setQuestion("delete") },
  ]);
  return (
    <span className="acts0">
      {can.abort && (
        <Button isBusy={abort.isPending} onClick={() => abort.mutate()}>
          Abort the turn
        </Button>
      )}
      {can.hibernate && (
        <Button isBusy={hibernate.isPending} onClick={() => hibernate.mutate()} className="hide-narrow">
          Hibernate
        </Button>
      )}
      {can.wake && (
        <Button isBusy={wake.isPending} onClick={() => wake.mutate()}>
          {session.status === "error" ? "Start it again" : "Wake"}
        </Button>
      )}
      <Menu trigger={(own) => <IconButton icon="more" label="More to do with the session" look="normal" {...own} />}>
        {can.hibernate && <MenuItem onSelect={() => hibernate.mutate()}>Hibernate</MenuItem>}
        <MenuItem isDisabled={!can.clear} onSelect={() => setQuestion("clear")}>
          Clear the queue…
        </MenuItem>
        <MenuItem onSelect={() => void copyId(id)}>Copy the session's id</MenuItem>
        <MenuLine />
        <MenuItem isDanger isDisabled={!can.terminate} onSelect={() => setQuestion("terminate")}>
          Terminate…
        </MenuItem>
        <MenuItem isDanger isDisabled={!can.delete} onSelect={() => setQuestion("delete")}>
          Delete…
        </MenuItem>
      </Menu>
      <Suspense fallback={null}>
        {question === "clear" && (
          <Confirm
            sessionId={id}
            title="Withdraw all that waits?"
            verb="Withdraw"
            change={withdrawAll}
            onClose={() => setQuestion(undefined)}
          >
            {session.queueLength === 1
              ? "The message or workflow that waits in the queue is withdrawn."
              : `The ${session.queueLength} messages and workflows that wait in the queue are withdrawn.`}{" "}
            What runs now goes on.
          </Confirm>
        )}
        {question === "terminate" && (
          <Confirm
            sessionId={id}
            title="Terminate this session?"
            verb="Terminate"
            change={terminateSession}
            onClose={() => setQuestion(undefined)}
          >
            Its sandbox ends at once, with the turn that runs. The conversation and the traces stay and can be read; the
            session takes no more messages.
          </Confirm>
        )}
        {question === "delete" && (
          <Confirm
            sessionId={id}
            title="Delete this session?"
            verb="Delete"
            change={deleteSession}
            onClose={() => setQuestion(undefined)}
            onDone={() => void navigate({ to: "/" })}
          >
            Its sandbox, its files, its conversation, its traces and its child sessions are deleted. Nothing brings them
            back.
          </Confirm>
        )}
      </Suspense>
    </span>
  );
}

async function withdrawAll(id: string): Promise<void> {
  const { withdrawn } = await clearQueue(id);
  announce(withdrawn === 1 ? "One was withdrawn." : `${withdrawn} were withdrawn.`, { isShown: true });
}

async function copyId(id: string): Promise<void> {
  if (await copyText(id)) announce("Copied.", { isShown: true });
  else announce(`The browser refused to copy: the id is ${id}.`, { isBad: true });
}
