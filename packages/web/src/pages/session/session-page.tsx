/** A session: the conversation with its agent, and the timeline beside it. What is selected in one stands in the URL, and so in both. */
import { getRouteApi } from "@tanstack/react-router";
import { useCallback, useMemo, useRef } from "react";
import { type Selection, type SessionSearch, selectionIn } from "../../app/selection.ts";
import { ConversationView } from "../../conversation/conversation-view.tsx";
import { restsOf } from "../../conversation/rests.ts";
import { TimelinePane } from "../../timeline/timeline-pane.tsx";
import { useTimeline } from "../../timeline/use-timeline.ts";
import { useSteady } from "../../ui/use-steady.ts";

const route = getRouteApi("/sessions/$sessionId/");

export default function SessionPage() {
  const { sessionId } = route.useParams();
  const search = route.useSearch();
  const { tab } = search;
  const selection = useSteady(selectionIn(search));
  const navigate = route.useNavigate();
  const go = (next: SessionSearch) => void navigate({ search: next, replace: true, resetScroll: false });
  const latest = useRef((_next: Selection) => {});
  latest.current = (next) => go({ ...next, ...(tab !== undefined && { tab }) });
  const select = useCallback((next: Selection) => latest.current(next), []);
  const timeline = useTimeline(sessionId);
  const lifecycle = timeline.model?.lifecycle;
  const rests = useSteady(useMemo(() => restsOf(lifecycle ?? []), [lifecycle]));
  return (
    <div className="cols">
      <ConversationView key={sessionId} sessionId={sessionId} selection={selection} rests={rests} onSelect={select} />
      <TimelinePane
        sessionId={sessionId}
        data={timeline}
        selection={selection}
        onSelect={select}
        tab={tab ?? "conversation"}
        onTab={(next) => go(next === "timeline" ? { ...selection, tab: next } : selection)}
      />
    </div>
  );
}
