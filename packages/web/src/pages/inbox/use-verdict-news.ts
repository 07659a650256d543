import { useEffect, useRef } from "react";
import type { Schemas } from "../../api/client.ts";
import { announce } from "../../app/announce.ts";
import { sessionTitle } from "../../format/session-names.ts";
import { stateWord } from "../../ui/state.tsx";

/** Announces which sessions have come to need somebody: not those that did when the page was opened, and no age. */
export function useVerdictNews(items: readonly Schemas["AttentionItem"][] | undefined): void {
  const known = useRef<ReadonlyMap<string, string>>(undefined);
  useEffect(() => {
    if (items === undefined) return;
    const before = known.current;
    known.current = new Map(items.map(({ sessionId, verdict }) => [sessionId, verdict.state]));
    if (before === undefined) return;
    const news = items.filter(({ sessionId, verdict }) => before.get(sessionId) !== verdict.state);
    const [first] = news;
    if (first === undefined) return;
    const title = sessionTitle({ id: first.sessionId, title: first.title });
    const more = news.length > 1 ? ` And ${news.length - 1} more.` : "";
    announce(`${title}: ${stateWord(first.verdict.state)}.${more}`);
  }, [items]);
}
