import type { Command } from "commander";
import type { ApiClient } from "../api-client.ts";
import { connect, type GlobalOptions, print, printJson, printLines } from "../context.ts";
import { UserError } from "../errors.ts";
import { findMessageId, findSessionId } from "../find-id.ts";
import { EXAMPLE_SESSION, helpEnd } from "../help-text.ts";
import { messageLines } from "../messages-text.ts";
import { parseLimit } from "./arguments.ts";

interface MessagesOptions extends GlobalOptions {
  readonly limit: number;
  readonly full?: boolean;
}

export function addMessages(program: Command): void {
  program
    .command("messages <session> [message]")
    .description("list the last messages of a session with their answers, oldest first, or show one as a whole")
    .option("--limit <n>", "how many messages", parseLimit, 20)
    .option("--full", "show their whole text")
    .addHelpText(
      "after",
      helpEnd(undefined, `messages ${EXAMPLE_SESSION} --limit 5 --full`, `messages ${EXAMPLE_SESSION} msg_7`),
    )
    .action(async (session: string, message: string | undefined, _options, command: Command) => {
      const options = command.optsWithGlobals<MessagesOptions>();
      const api = connect(options);
      const sessionId = await findSessionId(api, session);
      if (message !== undefined) {
        await showMessage(api, sessionId, message, options);
        return;
      }
      const messages = await api.lastMessages(sessionId, options.limit);
      if (options.json) printJson({ messages });
      else if (messages.length === 0) print("No messages yet.");
      else printLines(messages.flatMap((message) => messageLines(message, options.full ?? false)));
    });
}

/** @throws UserError if there is no such message */
async function showMessage(api: ApiClient, sessionId: string, text: string, { json }: GlobalOptions): Promise<void> {
  const message = await api.message(sessionId, await findMessageId(api, sessionId, text));
  if (message === undefined) {
    throw new UserError(`No message of this session has the id ${text}.`, { type: "message-not-found" });
  }
  if (json) printJson(message);
  else printLines(messageLines(message, true));
}
