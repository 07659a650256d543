import { useRef } from "react";

interface ContentIds<Content> {
  /** Returns the id of a content: the same until the content changes, so that a request that is repeated does its work once. */
  of(content: Content): string;
  /** The content has arrived: the same one, sent again, is another. */
  forget(): void;
}

/** Ids that the sender chooses. @param newId returns a new one */
export function useContentIds<Content>(newId: () => string): ContentIds<Content> {
  const last = useRef<{ readonly text: string; readonly id: string }>(undefined);
  return {
    of: (content) => {
      const text = JSON.stringify(content);
      if (last.current?.text !== text) last.current = { text, id: newId() };
      return last.current.id;
    },
    forget: () => {
      last.current = undefined;
    },
  };
}
