/** Whether the page is live: a word in the header, and a line below it while it is not. */
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState, useSyncExternalStore } from "react";
import { connection } from "../api/connection.ts";
import { formatAge } from "../format/duration.ts";
import { Button } from "../ui/button.tsx";
import { Notice } from "../ui/notes.tsx";

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
  if (now.state === "live") return <div />;
  return (
    <aside aria-label="Connection">
      <Offline since={now.since} />
    </aside>
  );
}

/** The only age that ticks while the server is away. */
function Offline({ since }: { readonly since: number }) {
  const queryClient = useQueryClient();
  const [nowMs, setNowMs] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNowMs(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const retry = (
    <Button look="quiet" onClick={() => void queryClient.refetchQueries({ type: "active" })}>
      Try now
    </Button>
  );
  return (
    <Notice icon="retry" className="banner" action={retry}>
      <b>Connection lost</b> <span aria-live="off">{formatAge(nowMs - since)} ago</span>. Ages stand still; your place
      and your text are kept. The page tries again by itself.
    </Notice>
  );
}
