import type { Command } from "commander";
import { helpOfChange, tell } from "../change-session.ts";
import { connect, type GlobalOptions } from "../context.ts";
import { counted } from "../counted.ts";
import { findSessionId } from "../find-id.ts";

export function addClear(program: Command): void {
  program
    .command("clear <session>")
    .description("withdraw the messages and workflows that wait in a session's queue; what runs goes on")
    .addHelpText("after", helpOfChange("clear", "the session is terminated"))
    .action(async (wanted: string, _options, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const api = connect(options);
      const sessionId = await findSessionId(api, wanted);
      const withdrawn = await api.clearQueue(sessionId);
      const session = await api.session(sessionId);
      const done = withdrawn === 0 ? "Nothing was waiting." : `Withdrawn: ${counted(withdrawn, "waiting job")}.`;
      const next = session.agent === "busy" ? ` What runs goes on; stop it: valet abort ${sessionId}.` : "";
      tell(options, session, { text: done + next, more: { withdrawn } });
    });
}
