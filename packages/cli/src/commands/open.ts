import { signInUrl } from "@valet/shared/protocol/page-sessions";
import type { Command } from "commander";
import { ApiClient } from "../api-client.ts";
import { findConnection, type GlobalOptions, print, printJson } from "../context.ts";
import { helpEnd } from "../help-text.ts";
import { signInLine } from "../sign-in-line.ts";

export function addOpen(program: Command): void {
  program
    .command("open")
    .description("print a link that signs a browser in to the session explorer, once")
    .addHelpText(
      "after",
      `\nWho opens the link may do what your token may; the browser is signed out when that token is revoked.${helpEnd(undefined, "open", "open --json")}`,
    )
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const connection = findConnection(options);
      const { ticket, expiresAt } = await new ApiClient(connection).createPageTicket();
      const url = signInUrl(connection.url, ticket);
      if (options.json) printJson({ url, expiresAt });
      else print(signInLine(url));
    });
}
