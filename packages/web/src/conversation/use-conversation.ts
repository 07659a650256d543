import { useEffect, useState, useSyncExternalStore } from "react";
import { conversationReads } from "../api/conversation-reads.ts";
import { useSessionEvents } from "../api/use-session-events.ts";
import { Kept } from "../app/kept.ts";
import { type ConversationState, ConversationStore } from "./conversation-store.ts";

/** The conversations that were shown last: whoever comes back finds what was loaded, and only what is new is read. */
const STORES = new Kept<ConversationStore>("view", 3);

function storeOf(sessionId: string): ConversationStore {
  const store = STORES.get(sessionId) ?? new ConversationStore(conversationReads(sessionId));
  STORES.set(sessionId, store);
  return store;
}

/** A session's conversation, live. Each session has a store of its own. */
export function useConversation(sessionId: string): { state: ConversationState; store: ConversationStore } {
  const [held, setHeld] = useState(() => ({ sessionId, store: storeOf(sessionId) }));
  const current = held.sessionId === sessionId ? held : { sessionId, store: storeOf(sessionId) };
  if (current !== held) setHeld(current);
  const { store } = current;
  useSessionEvents(sessionId, (event) => store.hear(event));
  useEffect(() => store.start(), [store]);
  return { state: useSyncExternalStore(store.subscribe, store.read), store };
}
