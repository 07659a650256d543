/** Waits for work that goes on without this process, and says so when the wait ends early. */
import { ApiError } from "./api-transport.ts";
import type { GlobalOptions } from "./context.ts";
import { TimedOut, UserError } from "./errors.ts";
import { showFailure } from "./failure.ts";
import { onStopSignal, STOP_SIGNALS } from "./stopping.ts";

/** Says that the work goes on, how to see it and how to stop it. */
export function goesOnText(sessionId: string): string {
  return `The work goes on. See it: valet status ${sessionId}. Stop it: valet abort ${sessionId}.`;
}

/**
 * Returns what `work` returns. A time-out says that the work goes on, and so does a signal, which ends the process with 130 or 143.
 * @throws TimedOut
 */
export async function whileItGoesOn<T>(
  { json = false }: Pick<GlobalOptions, "json">,
  sessionId: string,
  work: () => Promise<T>,
): Promise<T> {
  const release = onStopSignal((signal) => {
    const kind = { type: "interrupted", exitCode: STOP_SIGNALS[signal] };
    process.exit(showFailure(new UserError(`Interrupted. ${goesOnText(sessionId)}`, kind), json));
  });
  try {
    return await work();
  } catch (error) {
    throw explained(sessionId, error);
  } finally {
    release();
  }
}

/** Returns the error with what it means for the work. */
function explained(sessionId: string, error: unknown): unknown {
  if (error instanceof TimedOut) return new TimedOut(`${error.message} ${goesOnText(sessionId)}`);
  // Valet went away, or cannot read now: the work may go on all the same.
  const isAway = error instanceof UserError && (error.type === "no-answer" || isServerError(error));
  if (!isAway) return error;
  const { message, type, exitCode } = error;
  return new UserError(`${message} See what became of the work: valet status ${sessionId}.`, { type, exitCode });
}

const isServerError = (error: UserError) => error instanceof ApiError && error.status >= 500;
