import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { listenToSession, type SessionEvent } from "./session-events.ts";
import { sessionQuery } from "./sessions.ts";

/** Listens to a session's events while the component is shown. @param listener that of the last render hears them */
export function useSessionEvents(sessionId: string, listener: (event: SessionEvent) => void): void {
  const latest = useRef(listener);
  latest.current = listener;
  useEffect(() => listenToSession(sessionId, (event) => latest.current(event)), [sessionId]);
}

/**
 * Keeps what is cached of a session up to date by its events: the session itself, and what it does now. After a break, everything of
 * the session is read again.
 */
export function useLiveSession(sessionId: string): void {
  const queryClient = useQueryClient();
  useSessionEvents(sessionId, (event) => {
    if (event.type === "session") {
      const { queryKey } = sessionQuery(sessionId);
      queryClient.setQueryData(queryKey, event.session);
      // An answer that is on its way may be older than the event, and would take its place.
      const isBeingRead = queryClient.isFetching({ queryKey, exact: true }) > 0;
      if (isBeingRead) void queryClient.invalidateQueries({ queryKey, exact: true });
      void queryClient.invalidateQueries({ queryKey: ["sessions", sessionId, "now"] });
    }
    if ((event.type === "opened" && event.isAgain) || event.type === "gone") {
      void queryClient.invalidateQueries({ queryKey: ["sessions", sessionId] });
    }
  });
}
