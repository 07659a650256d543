/** A permission request of the agent, and the three answers to it. */

import { replyToPermission } from "../api/changes.ts";
import type { Schemas } from "../api/client.ts";
import { useAnswer } from "../api/use-change.ts";
import { Button } from "../ui/button.tsx";
import { OutsideText } from "../ui/outside-text.tsx";

const REPLIES = [
  ["once", "Allow once"],
  ["always", "Always here"],
  ["reject", "Deny"],
] as const;

interface PermissionAnswerProps {
  readonly sessionId: string;
  readonly permission: Schemas["PermissionView"];
  /** Show the number of each answer, since keys give it. */
  readonly hasKeys?: boolean;
}

/** What is asked for, in full and with hidden characters visible: a person decides by it. */
export function PermissionText({ permission }: Pick<PermissionAnswerProps, "permission">) {
  return (
    <>
      <b>Asks permission</b> for <OutsideText text={permission.permission} className="mono" max={100} />:{" "}
      <code className="whitespace-pre-wrap [overflow-wrap:anywhere]">
        <OutsideText text={permission.detail} max={8_000} />
      </code>
    </>
  );
}

export function PermissionAnswer({ sessionId, permission, hasKeys = false }: PermissionAnswerProps) {
  const answer = useAnswer(sessionId, (reply: Schemas["ReplyPermission"]["reply"]) =>
    replyToPermission(sessionId, permission.id, reply),
  );
  if (answer.isSuccess) return <span className="m2 small">Your answer is on its way.</span>;
  return REPLIES.map(([reply, text], index) => (
    <Button
      key={reply}
      data-answer={index + 1}
      isBusy={answer.isPending}
      onClick={() => answer.mutate(reply)}
      {...(hasKeys && { hint: String(index + 1) })}
    >
      {text}
    </Button>
  ));
}
