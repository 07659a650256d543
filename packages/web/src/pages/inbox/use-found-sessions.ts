import { useInfiniteQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import type { Schemas } from "../../api/client.ts";
import { foundSessionsQuery, MAX_LOADED_PAGES } from "../../api/sessions.ts";
import { useSettled } from "../../ui/use-settled.ts";

interface FoundSessions {
  readonly sessions: readonly Schemas["SessionView"][];
  /** `more`: not all sessions have been looked at. */
  readonly state: "none" | "searching" | "failed" | "more" | "done";
  readonly searchOn: () => void;
}

/** Searches the sessions of any age, page by page. @param text the search, as it is typed */
export function useFoundSessions(text: string): FoundSessions {
  const settled = useSettled(text);
  const { data, isError, isFetching, hasNextPage, fetchNextPage } = useInfiniteQuery(foundSessionsQuery(settled));
  const pages = data?.pages.length ?? 0;
  useEffect(() => {
    if (hasNextPage && !isFetching && !isError && pages % MAX_LOADED_PAGES !== 0) void fetchNextPage();
  }, [hasNextPage, isFetching, isError, fetchNextPage, pages]);
  const stateOf = (): FoundSessions["state"] => {
    if (text.trim() === "") return "none";
    if (settled !== text || isFetching) return "searching";
    if (isError) return "failed";
    return hasNextPage ? "more" : "done";
  };
  const sessions = settled.trim() === "" ? [] : (data?.pages ?? []).flatMap((page) => page.sessions);
  return { sessions, state: stateOf(), searchOn: () => void fetchNextPage() };
}
