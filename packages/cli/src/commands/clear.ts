import type { SessionView } from "@valet/shared/protocol/session-view";
import type { Command } from "commander";
import { helpOfChange, tell } from "../change-session.ts";
import { connect, type GlobalOptions } from "../context.ts";
import { counted } from "../counted.ts";
import { findSessionId } from "../find-id.ts";

export function addClear(program: Command): void {
  program
    .command("clear <session>")
    .description("withdraw the messages and workflows that wait in a session's queue; what runs goes on")
    .addHelpText("after", helpOfChange("clear"))
    .action(async (wanted: string, _options, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const api = connect(options);
      const sessionId = await findSessionId(api, wanted);
      const withdrawn = await api.clearQueue(sessionId);
      const session = await api.session(sessionId);
      tell(options, session, { text: clearText(session, withdrawn), more: { withdrawn } });
    });
}

/** Says what became of a session's queue. */
function clearText({ id, agent }: Pick<SessionView, "id" | "agent">, withdrawn: number): string {
  const done = withdrawn === 0 ? "The queue was empty." : `Withdrew ${counted(withdrawn, "job")} from the queue.`;
  return agent === "busy" ? `${done} The running job continues; stop it: valet abort ${id}.` : done;
}
