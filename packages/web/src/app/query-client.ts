/** The cache of what the API answered. */
import { MutationCache, QueryCache, QueryClient } from "@tanstack/react-query";
import { errorSentence, isSignedOut, mayRetry, waitOf } from "../api/problem.ts";
import { announce } from "./announce.ts";

const RETRIES = 2;
const FIRST_PAUSE_MS = 1_000;

/** Returns the cache. @param onSignedOut is called when an answer says that the caller has to sign in */
export function createQueryClient(onSignedOut: () => void): QueryClient {
  const watch = (error: unknown) => {
    if (isSignedOut(error)) onSignedOut();
  };
  return new QueryClient({
    queryCache: new QueryCache({ onError: watch }),
    mutationCache: new MutationCache({
      onError: (error, _variables, _context, mutation) => {
        watch(error);
        // A mutation that shows its own errors says so.
        if (mutation.meta?.showsErrors !== true && !isSignedOut(error)) announce(errorSentence(error), { isBad: true });
      },
    }),
    defaultOptions: {
      queries: {
        // The browser's own idea of being online is wrong behind proxies and on loopback.
        networkMode: "always",
        retry: (failures, error) => failures < RETRIES && mayRetry(error),
        retryDelay: (failures, error) => Math.max(FIRST_PAUSE_MS * 2 ** failures, waitOf(error)),
        staleTime: 2_000,
      },
      mutations: { networkMode: "always" },
    },
  });
}
