import { whyLines } from "@valet/shared/answers/why/lines";
import type { Command } from "commander";
import { connect, type GlobalOptions, printJson, printLines } from "../context.ts";
import { UserError } from "../errors.ts";
import { findWhy } from "../find-why.ts";
import { terminalOf } from "../terminal.ts";

interface WhyCommandOptions extends GlobalOptions {
  readonly session?: string;
}

export function addWhy(program: Command): void {
  program
    .command("why <id> [message]")
    .description("say where the time and the money of a message or a workflow went, and why it failed")
    .option("--session <id>", "the session of the message; otherwise it is looked for in the newest sessions")
    .addHelpText(
      "after",
      "\nThe id is that of a message, of a workflow's execution, or of a session: then the\n" +
        "answer is about its running message or workflow; if none is running, about the first in\n" +
        "the queue; if the queue is empty, about the last job that ended.\n" +
        "With a session and a message (or a workflow), it is about that one: it is found faster.\n" +
        "Exit codes: 0 success; 2 usage or environment error.\n\n" +
        "Example:\n  valet why ses_6t9f6t3n3dws9n1b5jqfqypw67",
    )
    .action(async (first: string, second: string | undefined, _options, command: Command) => {
      const options = command.optsWithGlobals<WhyCommandOptions>();
      const { id, session } = askedAbout(first, second, options.session);
      const view = await findWhy(connect(options), id, session);
      if (options.json) printJson(view);
      else printLines(whyLines(view, terminalOf(process.stdout, process.env).columns));
    });
}

/**
 * Returns the id that is asked about, and its session if it is named. Of two ids the session's comes first, as in other commands.
 * @throws UserError if both an argument and the option name a session
 */
export function askedAbout(first: string, second: string | undefined, option: string | undefined) {
  if (second === undefined) return { id: first, session: option };
  if (option === undefined) return { id: second, session: first };
  throw new UserError("The session is named twice: say `valet why <session> <message>`, without --session.", {
    type: "usage",
  });
}
