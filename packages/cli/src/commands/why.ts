import { whyLines } from "@valet/shared/answers/why/lines";
import type { Command } from "commander";
import { connect, type GlobalOptions, printJson, printLines } from "../context.ts";
import { findWhy } from "../find-why.ts";
import { terminalOf } from "../terminal.ts";

interface WhyCommandOptions extends GlobalOptions {
  readonly session?: string;
}

export function addWhy(program: Command): void {
  program
    .command("why <id>")
    .description("say where the time and the money of a message or a workflow went, and why it failed")
    .option("--session <id>", "the session of the message; otherwise it is looked for in the newest sessions")
    .addHelpText(
      "after",
      "\nThe id is that of a message, of a workflow's execution, or of a session: then the\n" +
        "answer is about the message that is running there, or else about its last one.\n" +
        "Exit codes: 0 success; 2 usage or environment error.\n\n" +
        "Example:\n  valet why ses_6t9f6t3n3dws9n1b5jqfqypw67",
    )
    .action(async (id: string, _options, command: Command) => {
      const options = command.optsWithGlobals<WhyCommandOptions>();
      const view = await findWhy(connect(options), id, options.session);
      if (options.json) printJson(view);
      else printLines(whyLines(view, terminalOf(process.stdout, process.env).columns));
    });
}
