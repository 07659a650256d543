/** Whether the page is live: a word in the header, and a line at the end of the page while it is not, or shows what may be out of date. */
import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useState, useSyncExternalStore } from "react";
import { connection } from "../api/connection.ts";
import { errorSentence, isPassing } from "../api/problem.ts";
import { rereads } from "../api/reread.ts";
import { formatAge } from "../format/duration.ts";
import { Button } from "../ui/button.tsx";
import { Notice } from "../ui/notes.tsx";
import { Sentence } from "../ui/outside-text.tsx";

export function ConnectionMark() {
  const { state } = useSyncExternalStore(connection.subscribe, connection.read);
  return (
    <span className="live" data-state={state} role="status">
      {state}
    </span>
  );
}

export function ConnectionBanner() {
  const now = useSyncExternalStore(connection.subscribe, connection.read);
  const failed = useFailedRead();
  if (now.state === "live" && failed === undefined) return <div />;
  return (
    <aside aria-label="Connection">
      {now.state === "live" ? <OutOfDate error={failed} /> : <Offline since={now.since} />}
    </aside>
  );
}

/** Returns why something that the page shows could not be read again; `undefined` if everything was. */
function useFailedRead(): unknown {
  const cache = useQueryClient().getQueryCache();
  const subscribe = useCallback((listener: () => void) => cache.subscribe(listener), [cache]);
  const unread = useSyncExternalStore(rereads.subscribe, rereads.read);
  const failedQuery = useSyncExternalStore(subscribe, () => {
    // What was never read says so in its own place.
    const failed = cache
      .getAll()
      .find((query) => query.isActive() && query.state.data !== undefined && isPassing(query.state.error));
    return failed?.state.error ?? undefined;
  });
  return failedQuery ?? unread;
}

/** The server answers, but not what was asked. */
function OutOfDate({ error }: { readonly error: unknown }) {
  return (
    <Notice icon="failed" isBad className="banner" action={<TryNow />}>
      <b>Something here may be out of date.</b> <Sentence text={errorSentence(error)} /> The page tries again by itself.
    </Notice>
  );
}

function TryNow() {
  const queryClient = useQueryClient();
  const readAll = () => {
    void queryClient.refetchQueries({ type: "active" });
    rereads.now();
  };
  return (
    <Button look="quiet" onClick={readAll}>
      Try now
    </Button>
  );
}

/** The only age that ticks while the server is away. */
function Offline({ since }: { readonly since: number }) {
  const [nowMs, setNowMs] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNowMs(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return (
    <Notice icon="retry" className="banner" action={<TryNow />}>
      <b>Connection lost</b> <span aria-live="off">{formatAge(nowMs - since)} ago</span>. Ages stand still; your place
      and your text are kept. The page tries again by itself.
    </Notice>
  );
}
