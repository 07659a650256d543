import type { Command } from "commander";
import { connect, type GlobalOptions, printJson, printLines } from "../context.ts";
import { helpEnd } from "../help-text.ts";
import { attentionLines } from "../now-text.ts";
import { paintVerdict } from "../paint.ts";

export function addAttention(program: Command): void {
  program
    .command("attention")
    .description("list the sessions that wait for a person, are quiet or stuck, or have failed, oldest first")
    .addHelpText("after", helpEnd(undefined, "attention --json"))
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const items = await connect(options).attention();
      if (options.json) printJson({ items });
      else printLines(attentionLines(items), { paint: paintVerdict });
    });
}
