import { useEffect, useRef } from "react";
import { announce } from "../app/announce.ts";
import type { Conversation } from "./conversation.ts";

/** Says what a reader who does not look should know: that a turn ended, and that somebody else answered. Text that streams is not read out. */
export function useConversationNews(conversation: Conversation): void {
  const heard = useRef<{ done: ReadonlySet<string>; closed: number }>(undefined);
  const { watched, messages, closed } = conversation;
  useEffect(() => {
    const ended = [...watched].filter((id) => messages.get(id)?.status === "done");
    const before = heard.current;
    heard.current = { done: new Set(ended), closed: closed.length };
    if (before === undefined) return;
    for (const id of ended) {
      if (!before.done.has(id)) announce(`The turn has ended: ${messages.get(id)?.outcome ?? "done"}.`);
    }
    for (const request of closed.slice(before.closed)) {
      if (typeof request.answer === "string")
        announce(`${request.by ?? "Somebody"} answered: ${request.answer.slice(0, 200)}`);
    }
  }, [watched, messages, closed]);
}
