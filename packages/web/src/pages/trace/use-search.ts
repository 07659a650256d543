import { useInfiniteQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { errorSentence } from "../../api/problem.ts";
import { traceSearchQuery } from "../../api/traces.ts";
import { nameMatches } from "../../waterfall/matches.ts";
import type { Model } from "../../waterfall/model.ts";

/** How long after the last key the attributes are searched, ms. */
const PAUSE_MS = 250;

export interface Search {
  readonly text: string;
  readonly setText: (text: string) => void;
  /** The ids of the spans that match. */
  readonly matches: ReadonlySet<string>;
  readonly isSearching: boolean;
  readonly error: string | undefined;
}

/** A search of one trace: names at once, attributes by the API. @param settled is called with the text once nobody types */
export function useSearch(
  sessionId: string,
  model: Model | undefined,
  initial: string,
  settled: (text: string) => void,
): Search {
  const [text, setText] = useState(initial);
  const [asked, setAsked] = useState(initial.trim());
  useEffect(() => {
    const timer = setTimeout(() => {
      setAsked(text.trim());
      settled(text.trim());
    }, PAUSE_MS);
    return () => clearTimeout(timer);
  }, [text, settled]);
  const found = useInfiniteQuery(traceSearchQuery(sessionId, model?.traceId ?? "", model === undefined ? "" : asked));
  const { hasNextPage, isFetching, isError, fetchNextPage } = found;
  useEffect(() => {
    if (hasNextPage && !isFetching && !isError) void fetchNextPage();
  }, [hasNextPage, isFetching, isError, fetchNextPage]);
  const matches = useMemo(() => {
    if (model === undefined) return new Set<string>();
    const all = nameMatches(model, text);
    // What the API found belongs to the text that it was asked for.
    if (asked === text.trim() && asked !== "") {
      for (const page of found.data?.pages ?? []) for (const id of page.spanIds) if (model.items.has(id)) all.add(id);
    }
    return all;
  }, [model, text, asked, found.data]);
  return {
    text,
    setText,
    matches,
    isSearching: text.trim() !== "" && (asked !== text.trim() || isFetching),
    error: isError ? errorSentence(found.error) : undefined,
  };
}
