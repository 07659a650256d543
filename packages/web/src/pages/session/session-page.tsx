/** A session: the conversation with its agent, and the timeline beside it. What is selected in one stands in the URL, and so in both. */
import { getRouteApi } from "@tanstack/react-router";
import { ConversationView } from "../../conversation/conversation-view.tsx";
import { TimelinePane } from "../../timeline/timeline-pane.tsx";
import type { SessionSearch } from "./session-search.ts";

const route = getRouteApi("/sessions/$sessionId/");

export default function SessionPage() {
  const { sessionId } = route.useParams();
  const { tab, ...selection } = route.useSearch();
  const navigate = route.useNavigate();
  const go = (search: SessionSearch) => void navigate({ search, replace: true, resetScroll: false });
  const select = (next: SessionSearch) => go({ ...next, ...(tab !== undefined && { tab }) });
  return (
    <div className="cols">
      <ConversationView key={sessionId} sessionId={sessionId} selection={selection} onSelect={select} />
      <TimelinePane
        sessionId={sessionId}
        selection={selection}
        onSelect={select}
        tab={tab ?? "conversation"}
        onTab={(next) => go(next === "timeline" ? { ...selection, tab: next } : selection)}
      />
    </div>
  );
}
