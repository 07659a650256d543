import type { Command } from "commander";
import { connect, type GlobalOptions, printJson, printLines } from "../context.ts";
import { findSessionId } from "../find-id.ts";
import { EXAMPLE_SESSION, helpEnd } from "../help-text.ts";
import { queueLines } from "../now-text.ts";

export function addQueue(program: Command): void {
  program
    .command("queue <session>")
    .description("list what runs in a session, and what waits with its reason")
    .addHelpText("after", helpEnd(undefined, `queue ${EXAMPLE_SESSION}`))
    .action(async (session: string, _options, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const api = connect(options);
      const now = await api.now(await findSessionId(api, session));
      const { running, queue, queueLength } = now;
      if (options.json) printJson({ running, queue, queueLength });
      else printLines(queueLines(now));
    });
}
