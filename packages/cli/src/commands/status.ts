import type { NowView } from "@valet/shared/protocol/now";
import type { SessionView } from "@valet/shared/protocol/session-view";
import type { Command } from "commander";
import type { ApiClient } from "../api-client.ts";
import { ApiError } from "../api-transport.ts";
import { connect, type GlobalOptions, print, printJson, printLines, report } from "../context.ts";
import { findSessionId } from "../find-id.ts";
import { EXAMPLE_SESSION, helpEnd } from "../help-text.ts";
import { nowLines, warningText } from "../now-text.ts";
import { paintVerdict } from "../paint.ts";
import { statusLines } from "../status-list.ts";
import { terminalOf } from "../terminal.ts";

/** How many sessions are asked at once. */
const AT_ONCE = 8;
/** How many sessions are asked at most: each question wakes the Durable Object of a session. */
const LISTED = 100;
const OLDER =
  "Older sessions were not asked: `valet attention` lists all that need a person, `valet sessions` all that there are.";

export function addStatus(program: Command): void {
  program
    .command("status [session]")
    .description(
      "show what a session does or waits for now, since when and what to do; or a line for each of the newest",
    )
    .addHelpText("after", helpEnd(undefined, "status", `status ${EXAMPLE_SESSION}`))
    .action(async (session: string | undefined, _options, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const api = connect(options);
      if (session !== undefined) {
        const id = await findSessionId(api, session);
        if (options.json) printJson(await api.now(id));
        else {
          const [now, { warnings = [] }] = await Promise.all([api.now(id), api.session(id)]);
          printLines([...nowLines(now), ...warnings.map(warningText)], { paint: paintVerdict });
        }
        return;
      }
      const { sessions, hasMore } = await api.findSessions(({ status }) => status !== "terminated", LISTED);
      const all = await askAll(api, sessions);
      if (options.json) {
        printJson({ sessions: all, has_more: hasMore });
        return;
      }
      if (all.length === 0) print(hasMore ? "The newest sessions are all terminated." : "No sessions.");
      else printLines(statusLines(all, terminalOf(process.stdout, process.env).columns), { paint: paintVerdict });
      if (hasMore) report(OLDER);
    });
}

/** Returns what each session does, in order, without those that are deleted meanwhile. */
async function askAll(api: ApiClient, sessions: readonly SessionView[]): Promise<NowView[]> {
  const all: NowView[] = [];
  for (let from = 0; from < sessions.length; from += AT_ONCE) {
    const asked = sessions.slice(from, from + AT_ONCE).map(({ id }) => api.now(id).catch(unlessGone));
    all.push(...(await Promise.all(asked)).flatMap((now) => now ?? []));
  }
  return all;
}

/** A session of the list may be deleted by the time that it is asked. */
function unlessGone(error: unknown): undefined {
  if (!(error instanceof ApiError && (error.status === 404 || error.status === 410))) throw error;
}
