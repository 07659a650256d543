import type { Command } from "commander";
import { connect, type GlobalOptions, printJson, printLines } from "../context.ts";
import { findSessionId } from "../find-id.ts";
import { queueLines } from "../now-text.ts";

export function addQueue(program: Command): void {
  program
    .command("queue <session>")
    .description("list what runs in a session, and what waits with its reason")
    .addHelpText("after", "\nExample:\n  valet queue ses_01j8z3k5m7n9p1q3r5s7t9v1w3")
    .action(async (session: string, _options, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const api = connect(options);
      const now = await api.now(await findSessionId(api, session));
      const { running, queue, queueLength } = now;
      if (options.json) printJson({ running, queue, queueLength });
      else printLines(queueLines(now));
    });
}
