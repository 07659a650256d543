import { type QueryKey, useMutation, useQueryClient } from "@tanstack/react-query";
import { ApiError } from "./problem.ts";

/** What a change of a session may alter: its own queries, the lists, and what needs attention. */
function keysOf(sessionId: string): QueryKey[] {
  return [["attention"], ["sessions", sessionId], ["sessions", "list"]];
}

/**
 * A change of a session; what it may alter is read again, however it ended. Errors are announced.
 * @param meta `showsErrors`: the caller shows them instead
 */
export function useChange<Input = void>(
  sessionId: string,
  change: (input: Input) => Promise<unknown>,
  meta: { readonly showsErrors?: boolean } = {},
) {
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: change,
    meta,
    onSettled: () => Promise.all(keysOf(sessionId).map((queryKey) => queryClient.invalidateQueries({ queryKey }))),
  });
}

/** The problems of an answer for which the agent does not wait, or no longer. */
const TOO_LATE: readonly (string | null)[] = ["request-closed", "request-not-found"];

/** An answer to the agent: who comes second is told so. */
export function useAnswer<Input>(sessionId: string, answer: (input: Input) => Promise<unknown>) {
  return useChange<Input>(sessionId, async (input) => {
    try {
      return await answer(input);
    } catch (error) {
      if (!(error instanceof ApiError) || !TOO_LATE.includes(error.problem)) throw error;
      throw new ApiError(
        "Your answer did not arrive: somebody answered before you, or the turn has ended.",
        error.status,
        error.problem,
      );
    }
  });
}
