import type { SessionView } from "@valet/shared/protocol/session-view";
import type { Command } from "commander";
import { ApiError } from "../api-transport.ts";
import { helpOfChange, refusedIf, tell, waitForChange } from "../change-session.ts";
import { connect, type GlobalOptions } from "../context.ts";
import { UserError } from "../errors.ts";
import { findSessionId } from "../find-id.ts";

export function addHibernate(program: Command): void {
  program
    .command("hibernate <session>")
    .description("put a session to sleep: its files are kept, its sandbox ends; the next message wakes it")
    .addHelpText("after", helpOfChange("hibernate", refusedIf("work runs, or the session's state does not allow it")))
    .action(async (wanted: string, _options, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const api = connect(options);
      const sessionId = await findSessionId(api, wanted);
      await api.change(sessionId, "hibernate").catch((error: unknown) => {
        if (!(error instanceof ApiError) || error.type !== "session-busy") throw error;
        const { type, exitCode } = error;
        throw new UserError(busyText(sessionId), { type, exitCode });
      });
      const session = await waitForChange(api, sessionId, (each) => isSettled(each));
      tell(options, session, { text: hibernateText(session) });
    });
}

const busyText = (id: string) =>
  `The session is busy. Wait until its work has ended, or stop what runs and clear what waits: valet abort ${id}, valet clear ${id}.`;

/** Returns whether the request has come to its end. While it goes on, the session may still have the problem of an earlier one. */
export const isSettled = ({ status }: Pick<SessionView, "status">) => status !== "hibernating";

/** Says what became of a request to hibernate. */
export function hibernateText({
  id,
  status,
  sleepProblem,
}: Pick<SessionView, "id" | "status" | "sleepProblem">): string {
  if (status === "hibernated") return `It sleeps; its files are kept. The next message wakes it, or valet wake ${id}.`;
  if (sleepProblem !== undefined) {
    const { errorType, detail, retryAt } = sleepProblem;
    const retried =
      retryAt === undefined
        ? "This is being retried, or is retried when the session is idle."
        : `This is retried at ${retryAt}.`;
    return `It cannot sleep yet: ${errorType}${detail === undefined ? "" : `: ${detail}`}. ${retried}`;
  }
  return `It is ${status}. See it: valet status ${id}.`;
}
