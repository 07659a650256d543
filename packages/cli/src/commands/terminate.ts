import type { Command } from "commander";
import { ASKING_CODES, agree } from "../agree.ts";
import { helpOfChange, tell, waitForChange } from "../change-session.ts";
import { connect, type GlobalOptions } from "../context.ts";
import { findSessionId } from "../find-id.ts";

interface TerminateOptions extends GlobalOptions {
  readonly yes?: boolean;
}

export function addTerminate(program: Command): void {
  program
    .command("terminate <session>")
    .description("end a session for good: its work stops and its files are lost; conversation and traces stay")
    .option("--yes", "do not ask; needed where there is no terminal")
    .addHelpText("after", `${helpOfChange("terminate", ASKING_CODES)} --yes`)
    .action(async (wanted: string, _options, command: Command) => {
      const options = command.optsWithGlobals<TerminateOptions>();
      const api = connect(options);
      const sessionId = await findSessionId(api, wanted);
      const before = await api.session(sessionId);
      if (before.status === "terminated") {
        tell(options, before, { text: `It had been terminated before. ${next(sessionId)}` });
        return;
      }
      const loss = `The session is ${before.status}. Its work will stop, and the files of its sandbox will be lost.`;
      const question = `Terminate ${sessionId}?`;
      if (!(await agree({ yes: options.yes, loss, question, refused: "Nothing was terminated." }))) return;
      await api.change(sessionId, "terminate");
      const session = await waitForChange(api, sessionId, ({ status }) => status === "terminated");
      const isDone = session.status === "terminated";
      const text = isDone
        ? `It is terminated. ${next(sessionId)}`
        : `It is being terminated. See it: valet status ${sessionId}.`;
      tell(options, session, { text });
    });
}

const next = (id: string) =>
  `Its conversation and traces stay until it is deleted: valet messages ${id}, valet export ${id}, valet delete ${id}.`;
