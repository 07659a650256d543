import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { tracesQuery } from "../../api/traces.ts";
import { Time } from "../../ui/age.tsx";
import { Button } from "../../ui/button.tsx";
import { Count, Duration } from "../../ui/figure.tsx";
import { Icon } from "../../ui/icons.tsx";
import { Empty, ErrorNote, Loading } from "../../ui/notes.tsx";
import { OutsideText } from "../../ui/outside-text.tsx";
import "./trace.css";

const route = getRouteApi("/sessions/$sessionId/traces");

/** The traces of a session, the newest first: each leads to its waterfall. */
export default function TracesPage() {
  const { sessionId } = route.useParams();
  const traces = useInfiniteQuery(tracesQuery(sessionId));
  const list = traces.data?.pages.flatMap(({ traces }) => traces) ?? [];
  if (traces.isError && traces.data === undefined) {
    return (
      <div className="page">
        <ErrorNote what="The traces could not be read." error={traces.error} onRetry={() => void traces.refetch()} />
      </div>
    );
  }
  if (traces.data === undefined) {
    return (
      <div className="page">
        <Loading what="the traces" rows={8} />
      </div>
    );
  }
  if (list.length === 0) {
    return (
      <div className="page">
        <Empty title="No traces yet">
          Each message, each start of the sandbox and each hibernate gets a trace: what was done, how long it took, what
          was waited for. The first one appears as soon as something is sent to the session.
        </Empty>
      </div>
    );
  }
  return (
    <div className="page">
      <h2 className="sr">Traces, the newest first</h2>
      <ul className="wf-list">
        {list.map(({ traceId, name, startedAt, duration_ms, spans, openSpans, errors }) => (
          <li key={traceId}>
            <Link to="/sessions/$sessionId/traces/$traceId" params={{ sessionId, traceId }}>
              <span className="m small">
                <Time at={startedAt} />
              </span>
              <span className="cut">
                <OutsideText text={name ?? "No span with a name yet"} className="font-medium" max={300} />{" "}
                <code className="m">{traceId.slice(0, 8)}</code>
              </span>
              <span className="wf-state small">
                {openSpans > 0 && (
                  <span className="t-model">
                    <Icon name="run" /> <Count count={openSpans} /> open
                  </span>
                )}
                {errors > 0 && (
                  <span className="t-failed">
                    <Icon name="failed" /> <Count count={errors} /> failed
                  </span>
                )}
              </span>
              <span className="n m small">
                <Count count={spans + openSpans} /> {spans + openSpans === 1 ? "span" : "spans"}
              </span>
              <span className="n small">
                {/* The known end of an open trace is only that of the last ended span. */}
                {openSpans > 0 ? <span className="m">open</span> : <Duration ms={duration_ms} />}
              </span>
            </Link>
          </li>
        ))}
      </ul>
      {traces.hasNextPage && (
        <Button className="mt-3" isBusy={traces.isFetchingNextPage} onClick={() => void traces.fetchNextPage()}>
          Show older traces
        </Button>
      )}
    </div>
  );
}
