import type { Command } from "commander";
import { connect, type GlobalOptions, print, printJson, printLines } from "../context.ts";
import { findSessionId } from "../find-id.ts";
import { EXAMPLE_SESSION, helpEnd } from "../help-text.ts";
import { messageLines } from "../messages-text.ts";
import { parseLimit } from "./arguments.ts";

interface MessagesOptions extends GlobalOptions {
  readonly limit: number;
  readonly full?: boolean;
}

export function addMessages(program: Command): void {
  program
    .command("messages <session>")
    .description("list the last messages of a session with their answers, oldest first")
    .option("--limit <n>", "how many messages", parseLimit, 20)
    .option("--full", "show their whole text")
    .addHelpText("after", helpEnd(undefined, `messages ${EXAMPLE_SESSION} --limit 5 --full`))
    .action(async (session: string, _options, command: Command) => {
      const options = command.optsWithGlobals<MessagesOptions>();
      const api = connect(options);
      const messages = await api.lastMessages(await findSessionId(api, session), options.limit);
      if (options.json) printJson({ messages });
      else if (messages.length === 0) print("No messages yet.");
      else printLines(messages.flatMap((message) => messageLines(message, options.full ?? false)));
    });
}
