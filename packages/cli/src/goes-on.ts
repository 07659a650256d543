/** Waits for work that goes on without this process, and says so when the wait ends early. */
import { report } from "./context.ts";
import { ExitCode, TimedOut } from "./errors.ts";

/** Says that the work goes on, how to see it and how to stop it. */
export function goesOnText(sessionId: string): string {
  return `The work goes on. See it: valet status ${sessionId}. Stop it: valet abort ${sessionId}.`;
}

/**
 * Returns what `work` returns. If that takes too long, the error says that the work goes on; Ctrl-C says it and ends the process.
 * @throws TimedOut
 */
export async function whileItGoesOn<T>(sessionId: string, work: () => Promise<T>): Promise<T> {
  const stop = () => {
    report(goesOnText(sessionId));
    process.exit(ExitCode.INTERRUPTED);
  };
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  try {
    return await work();
  } catch (error) {
    if (error instanceof TimedOut) throw new TimedOut(`${error.message} ${goesOnText(sessionId)}`);
    throw error;
  } finally {
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
  }
}
