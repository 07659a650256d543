/** The question before what cannot be undone. */
import type { ReactNode } from "react";
import { errorSentence } from "../api/problem.ts";
import { useChange } from "../api/use-change.ts";
import { Button } from "../ui/button.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { Notice } from "../ui/notes.tsx";
import { Sentence } from "../ui/outside-text.tsx";

interface ConfirmProps {
  readonly sessionId: string;
  readonly title: string;
  readonly verb: string;
  readonly change: (id: string) => Promise<unknown>;
  readonly onClose: () => void;
  readonly onDone?: () => void;
  readonly children: ReactNode;
}

export default function Confirm({ sessionId, title, verb, change, onClose, onDone, children }: ConfirmProps) {
  // The dialog says itself what failed.
  const doIt = useChange(
    sessionId,
    async () => {
      await change(sessionId);
      onClose();
      onDone?.();
    },
    { showsErrors: true },
  );
  return (
    <Dialog isOpen onClose={onClose} title={title} description={children}>
      {doIt.isError && (
        <Notice icon="failed" isBad className="mb-3">
          <span role="alert">
            <Sentence text={errorSentence(doIt.error)} />
          </span>
        </Notice>
      )}
      <div className="flex gap-2">
        <Button look="primary" isBusy={doIt.isPending} onClick={() => doIt.mutate()}>
          {verb}
        </Button>
        <Button look="quiet" onClick={onClose}>
          Keep it
        </Button>
      </div>
    </Dialog>
  );
}
