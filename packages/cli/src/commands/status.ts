import type { NowView } from "@valet/shared/protocol/now";
import type { SessionView } from "@valet/shared/protocol/session-view";
import type { Command } from "commander";
import type { ApiClient } from "../api-client.ts";
import { connect, type GlobalOptions, print, printJson, printLines } from "../context.ts";
import { findSessionId } from "../find-id.ts";
import { EXAMPLE_SESSION, helpEnd } from "../help-text.ts";
import { nowLines } from "../now-text.ts";
import { paintVerdict } from "../paint.ts";
import { statusLines } from "../status-list.ts";
import { terminalOf } from "../terminal.ts";

/** How many sessions are asked at once. */
const AT_ONCE = 8;

export function addStatus(program: Command): void {
  program
    .command("status [session]")
    .description("show what a session does or waits for now, since when and what to do; or a line for each session")
    .addHelpText("after", helpEnd(undefined, "status", `status ${EXAMPLE_SESSION}`))
    .action(async (session: string | undefined, _options, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const api = connect(options);
      if (session !== undefined) {
        const now = await api.now(await findSessionId(api, session));
        if (options.json) printJson(now);
        else printLines(nowLines(now), { paint: paintVerdict });
        return;
      }
      const sessions = (await api.sessions()).filter(({ status }) => status !== "terminated");
      const all = await askAll(api, sessions);
      if (options.json) printJson({ sessions: all });
      else if (all.length === 0) print("No sessions.");
      else printLines(statusLines(all, terminalOf(process.stdout, process.env).columns), { paint: paintVerdict });
    });
}

/** Returns what each session does, in order. */
async function askAll(api: ApiClient, sessions: readonly SessionView[]): Promise<NowView[]> {
  const all: NowView[] = [];
  for (let from = 0; from < sessions.length; from += AT_ONCE) {
    all.push(...(await Promise.all(sessions.slice(from, from + AT_ONCE).map(({ id }) => api.now(id)))));
  }
  return all;
}
