/** A session: the conversation with its agent, and the timeline beside it. What is selected in one stands in the URL, and so in both. */
import { getRouteApi } from "@tanstack/react-router";
import { type Selection, type SessionSearch, selectionIn } from "../../app/selection.ts";
import { ConversationView } from "../../conversation/conversation-view.tsx";
import { TimelinePane } from "../../timeline/timeline-pane.tsx";

const route = getRouteApi("/sessions/$sessionId/");

export default function SessionPage() {
  const { sessionId } = route.useParams();
  const search = route.useSearch();
  const { tab } = search;
  const selection = selectionIn(search);
  const navigate = route.useNavigate();
  const go = (next: SessionSearch) => void navigate({ search: next, replace: true, resetScroll: false });
  const select = (next: Selection) => go({ ...next, ...(tab !== undefined && { tab }) });
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
