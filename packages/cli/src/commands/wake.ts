import type { SessionView } from "@valet/shared/protocol/session-view";
import type { Command } from "commander";
import { helpOfChange, refusedIf, tell, waitForChange } from "../change-session.ts";
import { connect, type GlobalOptions } from "../context.ts";
import { findSessionId } from "../find-id.ts";
import { placeText } from "../queue-text.ts";

export function addWake(program: Command): void {
  program
    .command("wake <session>")
    .description("start the sandbox of a session that sleeps, with the files that it had")
    .addHelpText("after", helpOfChange("wake", refusedIf("the session is being terminated")))
    .action(async (wanted: string, _options, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const api = connect(options);
      const sessionId = await findSessionId(api, wanted);
      await api.change(sessionId, "wake");
      const session = await waitForChange(api, sessionId, ({ status }) => !MOVING.has(status));
      tell(options, session, { text: wakeText(session) });
    });
}

const MOVING: ReadonlySet<SessionView["status"]> = new Set([
  "created",
  "starting",
  "restoring",
  "recovering",
  "hibernating",
  "hibernated",
]);

/** Says what became of a request to wake. */
function wakeText(session: Pick<SessionView, "id" | "status" | "capacityPlace" | "failure">): string {
  const { id, status, capacityPlace, failure } = session;
  if (status === "running") return `It is awake. Send a message: valet prompt --session ${id} "…".`;
  if (failure !== undefined) return `It is ${status}: ${failure.message}`;
  const place = capacityPlace === undefined ? "" : ` (${placeText(capacityPlace)})`;
  return `It is waking: ${status}${place}. See it: valet status ${id}.`;
}
