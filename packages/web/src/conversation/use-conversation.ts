import { useEffect, useState, useSyncExternalStore } from "react";
import { api, ok } from "../api/client.ts";
import { readMessage } from "../api/messages.ts";
import { useSessionEvents } from "../api/use-session-events.ts";
import type { Workflow } from "./conversation.ts";
import { type ConversationApi, type ConversationState, ConversationStore } from "./conversation-store.ts";

/** The most pages of workflows that are read; a session with more has thousands. */
const MAX_WORKFLOW_PAGES = 40;
const TURNS_PER_PAGE = 100;

function apiOf(id: string): ConversationApi {
  const path = { id };
  return {
    messages: (place) => {
      const query = place ?? { order: "desc" as const };
      return ok(api.GET("/api/sessions/{id}/messages", { params: { path, query } }));
    },
    message: (messageId) => readMessage(id, messageId),
    workflows: async () => {
      const all: Workflow[] = [];
      let cursor: string | undefined;
      for (let page = 0; page < MAX_WORKFLOW_PAGES; page++) {
        const query = cursor === undefined ? {} : { cursor };
        const answer = await ok(api.GET("/api/sessions/{id}/workflows", { params: { path, query } }));
        all.push(...answer.workflows);
        cursor = answer.nextCursor;
        if (cursor === undefined) break;
      }
      return all;
    },
    workflow: (executionId) =>
      ok(api.GET("/api/sessions/{id}/workflows/{executionId}", { params: { path: { id, executionId } } })),
    turns: async (period) => {
      const query = { sessionId: id, limit: TURNS_PER_PAGE, ...period };
      return (await ok(api.GET("/api/turns", { params: { query } }))).turns;
    },
  };
}

/** A session's conversation, live. The store is a new one for each session. */
export function useConversation(sessionId: string): { state: ConversationState; store: ConversationStore } {
  const [held, setHeld] = useState(() => ({ sessionId, store: new ConversationStore(apiOf(sessionId)) }));
  const current = held.sessionId === sessionId ? held : { sessionId, store: new ConversationStore(apiOf(sessionId)) };
  if (current !== held) setHeld(current);
  const { store } = current;
  useSessionEvents(sessionId, (event) => store.hear(event));
  useEffect(() => store.start(), [store]);
  return { state: useSyncExternalStore(store.subscribe, store.read), store };
}
