import { useEffect, useRef, useState } from "react";
import { newMessageId } from "../api/changes.ts";

const PREFIX = "valet.draft.";

/** What a person writes to a session. It survives errors, breaks of the connection, other pages, and a reload of this one. */
export function useDraft(sessionId: string): readonly [string, (text: string) => void] {
  const [draft, setDraft] = useState({ sessionId, text: read(sessionId) });
  const current = draft.sessionId === sessionId ? draft : { sessionId, text: read(sessionId) };
  if (current !== draft) setDraft(current);
  useEffect(() => write(current.sessionId, current.text), [current]);
  return [current.text, (text) => setDraft({ sessionId, text })];
}

export interface ContentIds {
  /** Returns the id of a content: the same until the content changes, so that a message that is sent again is one message. */
  of(content: string): string;
  /** The content has arrived: the same one, written again, is another message. */
  forget(): void;
}

export function useContentIds(): ContentIds {
  const last = useRef<{ readonly content: string; readonly id: string }>(undefined);
  return {
    of: (content) => {
      if (last.current?.content !== content) last.current = { content, id: newMessageId() };
      return last.current.id;
    },
    forget: () => {
      last.current = undefined;
    },
  };
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
