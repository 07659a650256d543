import { useState } from "react";

export interface ContentIds<Content> {
  /** Returns the id of a content: the same until the content changes, so that a request that is repeated does its work once. */
  of(content: Content): string;
  /** The content has arrived: the same one, sent again, is another. */
  forget(): void;
}

/** Returns ids that the sender chooses. @param newId returns a new one */
export function contentIds<Content>(newId: () => string): ContentIds<Content> {
  let last: { readonly text: string; readonly id: string } | undefined;
  return {
    of: (content) => {
      const text = JSON.stringify(content);
      if (last?.text !== text) last = { text, id: newId() };
      return last.id;
    },
    forget: () => {
      last = undefined;
    },
  };
}

/** Returns ids that last as long as the component. */
export function useContentIds<Content>(newId: () => string): ContentIds<Content> {
  return useState(() => contentIds<Content>(newId))[0];
}
