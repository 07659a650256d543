import { Link, useLocation, useParams } from "@tanstack/react-router";
import { useState } from "react";
import { type Selection, type SessionPlace, selectionAt } from "../../app/selection.ts";

/** The ways to the pages of a session. What is selected on one of them is selected on the next. */
export function SessionTabs({ sessionId }: { readonly sessionId: string }) {
  const { page, selection } = usePlace(sessionId);
  const { message, span, trace } = selection;
  const current = (own: SessionPlace["page"]) => (own === page ? ({ "aria-current": "page" } as const) : {});
  return (
    <nav className="tabs" aria-label="Session">
      <Link to="/sessions/$sessionId" params={{ sessionId }} search={selection} {...OWN_STATE} {...current("session")}>
        Session
      </Link>
      {/* On the page of a trace, the way back to all of them. */}
      {trace === undefined || page === "trace" ? (
        <Link to="/sessions/$sessionId/traces" params={{ sessionId }} {...OWN_STATE} {...current("trace")}>
          Trace
        </Link>
      ) : (
        <Link
          to="/sessions/$sessionId/traces/$traceId"
          params={{ sessionId, traceId: trace }}
          search={span === undefined ? {} : { span }}
          {...OWN_STATE}
          {...current("trace")}
        >
          Trace
        </Link>
      )}
      {message === undefined ? (
        <Link to="/sessions/$sessionId/why" params={{ sessionId }} {...OWN_STATE} {...current("why")}>
          Why
        </Link>
      ) : (
        <Link
          to="/sessions/$sessionId/messages/$messageId/why"
          params={{ sessionId, messageId: message }}
          {...OWN_STATE}
          {...current("why")}
        >
          Why
        </Link>
      )}
      <Link
        to="/sessions/$sessionId/changes"
        params={{ sessionId }}
        // On the page itself, the way back to all turns.
        search={message === undefined || page === "changes" ? {} : { from: message, to: message }}
        {...OWN_STATE}
        {...current("changes")}
      >
        Changes
      </Link>
    </nav>
  );
}

/** The router's own mark of the active link is left out: the page says which one it is. */
const OWN_STATE = { activeProps: {}, activeOptions: { exact: true, includeSearch: true } } as const;

/** Returns on which page of the session a reader is, and what is selected. */
function usePlace(sessionId: string): { readonly page: SessionPlace["page"]; readonly selection: Selection } {
  const { pathname, search } = useLocation();
  const { traceId, messageId } = useParams({ strict: false });
  const page = pageOf(pathname.slice(`/sessions/${encodeURIComponent(sessionId)}`.length));
  const [before, setBefore] = useState<Selection>({});
  const selection = selectionAt({ page, traceId, messageId, search }, before);
  if (JSON.stringify(selection) !== JSON.stringify(before)) setBefore(selection);
  return { page, selection };
}

function pageOf(rest: string): SessionPlace["page"] {
  if (rest.startsWith("/traces")) return "trace";
  if (rest.startsWith("/changes")) return "changes";
  return rest.endsWith("/why") ? "why" : "session";
}
