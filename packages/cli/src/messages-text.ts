/** The messages of a session as lines of text. Pure. */
import type { MessageView } from "@valet/shared/protocol/session-view";
import { firstLine } from "./now-text.ts";
import { queueText } from "./queue-text.ts";
import { answerText, outcomeLines } from "./wait.ts";

/** Returns a message and its answer. The text of both is cut to its first line, unless `isFull`. */
export function messageLines(message: MessageView, isFull: boolean): string[] {
  const { id, acceptedAt, status, outcome, channel, source, author, content, errorType, outcomeReason } = message;
  const state =
    status === "done" ? [outcome, errorType ?? outcomeReason].filter(Boolean).join(", ") : stateText(message);
  const from = author?.name ?? author?.id ?? source;
  const head = [acceptedAt, id, state, from, ...(channel === "main" ? [] : [`channel ${channel}`])].join("  ");
  const answer = answerText(message);
  const show = (text: string) => (isFull ? text.split("\n") : [firstLine(text)]);
  return [
    head,
    ...show(content).map((line) => `  > ${line}`),
    ...(answer === "" ? [] : show(answer).map((line) => `  ${line}`)),
    ...(status === "done" && isFull ? outcomeLines(message).map((line) => `  ${line}`) : []),
  ];
}

function stateText(message: MessageView): string {
  if (message.status === "queued") return queueText(message);
  return message.status === "accepted" ? "running" : message.status;
}
