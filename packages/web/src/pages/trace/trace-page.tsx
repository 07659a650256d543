import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi, useNavigate, useRouter } from "@tanstack/react-router";
import { useCallback, useMemo, useState } from "react";
import { tracesQuery } from "../../api/traces.ts";
import { Empty, ErrorNote, Loading } from "../../ui/notes.tsx";
import type { Tie } from "../../waterfall/rows.ts";
import { useBacklinks } from "../../waterfall/use-backlinks.ts";
import { useTraces } from "../../waterfall/use-traces.ts";
import { parseTraceSearch, type TraceSearch } from "./trace-search.ts";
import { TraceView } from "./trace-view.tsx";
import "./trace.css";

const route = getRouteApi("/sessions/$sessionId/traces/$traceId");

/** One trace of a session. */
export default function TracePage() {
  const { sessionId, traceId } = route.useParams();
  // Another trace is another place: nothing that was folded, opened or searched in this one belongs to it.
  return <LoadedTrace key={`${sessionId}/${traceId}`} sessionId={sessionId} traceId={traceId} />;
}

function LoadedTrace({ sessionId, traceId }: { readonly sessionId: string; readonly traceId: string }) {
  const search = route.useSearch();
  const navigate = useNavigate({ from: "/sessions/$sessionId/traces/$traceId" });
  const router = useRouter();
  const list = useInfiniteQuery(tracesQuery(sessionId));
  const backlinks = useBacklinks(sessionId, traceId);
  const [opened, setOpened] = useState<ReadonlyMap<string, readonly Tie[]>>(new Map());
  const wanted = useMemo(() => {
    const ofLinks = [...opened.values()].flat().map((tie) => tie.traceId);
    return [...new Set([traceId, ...ofLinks])];
  }, [traceId, opened]);
  const traces = useTraces(sessionId, wanted);

  const change = useCallback(
    (field: keyof TraceSearch, value: string) => {
      // Somebody may be on the way to another page: that must not be called off.
      const { pathname, search } = router.latestLocation;
      const known = parseTraceSearch(search)[field] ?? "";
      if (known === value || !pathname.endsWith(`/traces/${traceId}`)) return;
      void navigate({
        search: (before) => {
          const { [field]: _before, ...rest } = before;
          return value === "" ? rest : { ...rest, [field]: value };
        },
        replace: true,
        resetScroll: false,
      });
    },
    [navigate, router, traceId],
  );
  const onSelected = useCallback((span: string) => change("span", span), [change]);
  const onText = useCallback((text: string) => change("q", text), [change]);

  const trace = traces.of(traceId);
  if (trace.state === "failed") {
    return (
      <div className="page">
        <ErrorNote what="The trace could not be read." error={trace.error} onRetry={() => traces.retry(traceId)} />
      </div>
    );
  }
  if (trace.state === "loading") {
    return (
      <div className="page">
        <Loading what="the trace" rows={12} height={1.5} />
      </div>
    );
  }
  if (trace.model.order.length === 0) {
    return (
      <div className="page">
        <Empty title="This trace has no spans">
          Nothing of it has arrived, or it is older than the session keeps traces for. New spans appear here by
          themselves.
        </Empty>
      </div>
    );
  }
  return (
    <TraceView
      sessionId={sessionId}
      model={trace.model}
      traces={traces}
      backlinks={backlinks}
      urlTemplate={list.data?.pages[0]?.urlTemplate}
      opened={opened}
      setOpened={setOpened}
      initialSpan={search.span}
      initialText={search.q ?? ""}
      onSelected={onSelected}
      onText={onText}
    />
  );
}
