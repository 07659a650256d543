import type { Command } from "commander";
import { connect, type GlobalOptions, print, printJson } from "../context.ts";
import { attentionLines } from "../now-text.ts";

export function addAttention(program: Command): void {
  program
    .command("attention")
    .description("list the sessions that wait for a person, are quiet or stuck, or have failed, oldest first")
    .addHelpText("after", "\nExample:\n  valet attention --json")
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const items = await connect(options).attention();
      if (options.json) printJson({ items });
      else for (const line of attentionLines(items)) print(line);
    });
}
