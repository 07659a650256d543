import { useEffect, useState, useSyncExternalStore } from "react";
import { conversationReads } from "../api/conversation-reads.ts";
import { useSessionEvents } from "../api/use-session-events.ts";
import { type ConversationState, ConversationStore } from "./conversation-store.ts";

/** A session's conversation, live. The store is a new one for each session. */
export function useConversation(sessionId: string): { state: ConversationState; store: ConversationStore } {
  const [held, setHeld] = useState(() => ({ sessionId, store: new ConversationStore(conversationReads(sessionId)) }));
  const current =
    held.sessionId === sessionId ? held : { sessionId, store: new ConversationStore(conversationReads(sessionId)) };
  if (current !== held) setHeld(current);
  const { store } = current;
  useSessionEvents(sessionId, (event) => store.hear(event));
  useEffect(() => store.start(), [store]);
  return { state: useSyncExternalStore(store.subscribe, store.read), store };
}
