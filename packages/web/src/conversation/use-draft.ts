import { useSyncExternalStore } from "react";
import { forgetKept } from "../app/kept.ts";

const PREFIX = "valet.draft.";

/** The drafts that this page has read or written, by session: without storage they last as long as the page. */
const known = new Map<string, string>();
const listeners = new Set<() => void>();

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell(): void {
  for (const listener of listeners) listener();
}

/** What a person writes to a session. It survives errors, breaks of the connection, other pages, and a reload of this one. */
export function useDraft(sessionId: string): readonly [string, (text: string) => void] {
  const text = useSyncExternalStore(subscribe, () => draftOf(sessionId));
  return [text, (text) => change(sessionId, text)];
}

/** Removes a draft that was sent, wherever its writer is meanwhile; what was written since stays. */
export function clearSentDraft(sessionId: string, sent: string): void {
  if (draftOf(sessionId) === sent) change(sessionId, "");
}

/** Removes all drafts of this tab, with their files, choices and ids: whoever signs out leaves nothing behind. */
export function forgetDrafts(): void {
  forgetKept("draft");
  known.clear();
  try {
    for (const key of Object.keys(sessionStorage)) if (key.startsWith(PREFIX)) sessionStorage.removeItem(key);
  } catch {
    // Without storage there are none.
  }
  tell();
}

function change(sessionId: string, text: string): void {
  known.set(sessionId, text);
  write(sessionId, text);
  tell();
}

function draftOf(sessionId: string): string {
  const text = known.get(sessionId) ?? read(sessionId);
  known.set(sessionId, text);
  return text;
}

function read(sessionId: string): string {
  try {
    return sessionStorage.getItem(PREFIX + sessionId) ?? "";
  } catch {
    return "";
  }
}

function write(sessionId: string, text: string): void {
  try {
    if (text === "") sessionStorage.removeItem(PREFIX + sessionId);
    else sessionStorage.setItem(PREFIX + sessionId, text);
  } catch {
    // Without storage the draft lasts as long as the page.
  }
}
