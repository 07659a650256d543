import { useEffect, useState } from "react";

const PREFIX = "valet.draft.";

/** What a person writes to a session. It survives errors, breaks of the connection, other pages, and a reload of this one. */
export function useDraft(sessionId: string): readonly [string, (text: string) => void] {
  const [draft, setDraft] = useState({ sessionId, text: read(sessionId) });
  const current = draft.sessionId === sessionId ? draft : { sessionId, text: read(sessionId) };
  if (current !== draft) setDraft(current);
  useEffect(() => write(current.sessionId, current.text), [current]);
  return [current.text, (text) => setDraft({ sessionId, text })];
}

/** Removes all drafts of this tab: whoever signs out leaves nothing behind. */
export function forgetDrafts(): void {
  try {
    for (const key of Object.keys(sessionStorage)) if (key.startsWith(PREFIX)) sessionStorage.removeItem(key);
  } catch {
    // Without storage there are none.
  }
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
