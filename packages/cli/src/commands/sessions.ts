import { costText } from "@valet/shared/protocol/cost";
import type { FailureView } from "@valet/shared/protocol/failure";
import type { FamilyView } from "@valet/shared/protocol/session-api";
import type { ExportProblemView, SessionView } from "@valet/shared/protocol/session-view";
import { ERRORS } from "@valet/shared/spans";
import type { Command } from "commander";
import type { ApiClient } from "../api-client.ts";
import { connect, type GlobalOptions, print, printJson, printLines } from "../context.ts";
import { counted } from "../counted.ts";
import { UserError } from "../errors.ts";
import { findSessionId } from "../find-id.ts";
import { EXAMPLE_SESSION, helpEnd } from "../help-text.ts";
import { warningText } from "../now-text.ts";
import { paintSession } from "../paint.ts";
import { placeText } from "../queue-text.ts";
import { placeSessions, type TreeSession } from "../session-tree.ts";

interface SessionsOptions extends GlobalOptions {
  readonly search?: string;
}

export function addSessions(program: Command): void {
  program
    .command("sessions [session]")
    .description("list the sessions, newest first, or one session with its descendants and their costs")
    .option(
      "--search <words>",
      "only sessions in whose title, repository, branch, user, model or id each word is found",
    )
    .addHelpText(
      "after",
      helpEnd(undefined, "sessions", 'sessions --search "flaky export"', `sessions ${EXAMPLE_SESSION}`),
    )
    .action(async (session: string | undefined, _options, command: Command) => {
      const options = command.optsWithGlobals<SessionsOptions>();
      if (session !== undefined && options.search !== undefined) {
        throw new UserError("--search looks in all sessions: name no session with it.", { type: "usage" });
      }
      const api = connect(options);
      if (session === undefined) await listSessions(api, options);
      else await showFamily(api, await findSessionId(api, session), options);
    });
}

async function listSessions(api: ApiClient, options: SessionsOptions): Promise<void> {
  const sessions = await api.sessions(options.search);
  if (options.json) {
    printJson({ sessions });
    return;
  }
  if (sessions.length === 0) print(options.search === undefined ? "No sessions yet." : "No session matches.");
  printLines(
    sessionLines(sessions, ({ title, repoUrl }) => title ?? repoUrl ?? ""),
    { paint: paintSession },
  );
}

async function showFamily(api: ApiClient, sessionId: string, options: GlobalOptions): Promise<void> {
  const family = await api.family(sessionId);
  if (options.json) printJson(family);
  else printLines(familyLines(family), { paint: paintSession });
}

/** Returns the lines that show a family: the cost of each session, and the total. */
export function familyLines({ sessions, total, sessions_left_out = 0, partial }: FamilyView): string[] {
  const lines = sessionLines(sessions, ({ title = "", ...spent }) => `${costOf(spent)}  ${title}`);
  const others = `${partial ? "more than " : ""}${counted(sessions_left_out, "further session")}, not listed`;
  const note = partial ? " of the sessions that were counted; the family has more" : "";
  return [...lines, ...(sessions_left_out > 0 ? [others] : []), `total: ${costOf(total)}${note}`];
}

function costOf(spent: FamilyView["total"]): string {
  const { turns, cost_usd, tokens_input, tokens_output, turns_without_cost = 0, turns_without_usage = 0 } = spent;
  const cost = costText(cost_usd, turns_without_cost > 0);
  const tokens =
    tokens_input === null && tokens_output === null
      ? "tokens unknown"
      : atLeast(`${tokens_input ?? "?"} tokens in, ${tokens_output ?? "?"} out`, turns_without_usage);
  return `${cost} in ${counted(turns, "turn")} (${tokens})`;
}

/** Marks a sum that lacks some turns. */
const atLeast = (sum: string, turnsWithout: number) => (turnsWithout > 0 ? `at least ${sum}` : sum);

interface ListedSession extends TreeSession {
  readonly status: string;
  readonly agent: string;
  readonly queueLength: number;
  readonly capacityPlace?: number | undefined;
  readonly createdAt: string;
  readonly failure?: FailureView | undefined;
  readonly sleepProblem?: SessionView["sleepProblem"] | undefined;
  readonly warnings?: SessionView["warnings"] | undefined;
  readonly exportProblem?: ExportProblemView | undefined;
}

/**
 * Returns one line for each session, with children indented below their parents. Further lines below a session say why
 * it has no sandbox or cannot hibernate, its warnings, and since when its spans do not reach the backend.
 */
export function sessionLines<S extends ListedSession>(sessions: readonly S[], more: (session: S) => string): string[] {
  return placeSessions(sessions).flatMap(({ session, depth }) => {
    const { id, status, agent, queueLength, capacityPlace, createdAt } = session;
    const { failure, sleepProblem, warnings = [], exportProblem } = session;
    const queued = queueLength > 0 ? `, ${queueLength} queued` : "";
    const does = capacityPlace === undefined ? agent : placeText(capacityPlace);
    const name = depth === 0 ? id : `${"   ".repeat(depth - 1)}└─ ${id}`;
    const line = [name, `${status} (${does}${queued})`.padEnd(24), createdAt, more(session)].join("  ").trimEnd();
    const indent = "   ".repeat(depth + 1);
    return [
      line,
      ...(failure === undefined ? [] : [`${indent}${failure.type}: ${failure.message}`]),
      ...(sleepProblem === undefined ? [] : [indent + sleepProblemText(sleepProblem)]),
      ...warnings.map((warning) => indent + warningText(warning)),
      ...(exportProblem === undefined ? [] : [indent + exportProblemText(exportProblem)]),
    ];
  });
}

/** Says why a session cannot hibernate, and what a person can do about it. */
function sleepProblemText({ errorType, detail, failures, retryAt }: NonNullable<SessionView["sleepProblem"]>): string {
  const { meaning, remedy } = ERRORS[errorType];
  const times = failures === 1 ? "" : ` (${failures} times)`;
  const retries =
    retryAt === undefined ? "It is being retried, or is retried when the session is idle" : `Retries at ${retryAt}`;
  return `cannot hibernate: ${errorType}${times}: ${detail ?? meaning}. ${retries}. ${remedy ?? ""}`.trimEnd();
}

function exportProblemText({ since, reason, waitingSpans, stopped }: ExportProblemView): string {
  const advice = stopped ? "; no more retries: `valet resend` sends them" : "";
  return `spans have not reached the backend since ${since}: ${reason}, ${waitingSpans} waiting${advice}`;
}
