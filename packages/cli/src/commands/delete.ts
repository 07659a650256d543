import { setTimeout as sleep } from "node:timers/promises";
import { costText } from "@valet/shared/protocol/cost";
import type { FamilyView } from "@valet/shared/protocol/session-api";
import type { Command } from "commander";
import { ASKING_CODES, agree } from "../agree.ts";
import type { ApiClient } from "../api-client.ts";
import { ApiError } from "../api-transport.ts";
import { connect, type GlobalOptions, print, printJson, reportToPerson } from "../context.ts";
import { counted } from "../counted.ts";
import { findSessionId } from "../find-id.ts";
import { EXAMPLE_SESSION } from "../help-text.ts";
import { sayIfSlow } from "../system/slow-step.ts";

interface DeleteOptions extends GlobalOptions {
  readonly yes?: boolean;
}

const GONE = 410;
/** How long the command waits for the end of the deletion, and how often it looks, in ms. */
const WAIT_MS = 30_000;
const POLL_MS = 200;

export function addDelete(program: Command): void {
  program
    .command("delete <session>")
    .description("delete a session for good: its sandbox, files, conversation and traces, and its child sessions")
    .option("--yes", "do not ask; needed where there is no terminal")
    .addHelpText(
      "after",
      `
The session may be in any state: its work ends at once. The figures of its turns stay in your statistics, and spans that
the backend has stay there. \`valet export\` writes everything into a folder first.

Exit codes: 0 it is deleted, or was before, or its deletion goes on; ${ASKING_CODES}.

Example:
  valet delete ${EXAMPLE_SESSION} --yes`,
    )
    .action(async (session: string, _options, command: Command) => {
      const options = command.optsWithGlobals<DeleteOptions>();
      const api = connect(options);
      const sessionId = await findSessionId(api, session);
      const family = await unlessGone(api.family(sessionId));
      if (family === undefined) return show(options, sessionId, "deleted", "It had been deleted before.");
      const agreed = await agree({
        yes: options.yes,
        loss: lossText(family),
        question: `Delete ${sessionId}?`,
        instead: `Say so with --yes, or run \`valet export ${sessionId}\` first.`,
        refused: "Nothing was deleted.",
      });
      if (!agreed) return;
      await unlessGone(api.deleteSession(sessionId));
      const isDeleted = await sayIfSlow("deleting", reportToPerson, waitUntilGone(api, sessionId));
      if (isDeleted) show(options, sessionId, "deleted", "It is deleted.");
      else show(options, sessionId, "deleting", WAITS);
    });
}

const WAITS =
  "It is being deleted: the sandbox, its broker or the backend still have to answer. This goes on without you; `valet sessions` " +
  "lists it until then.";

function show({ json }: GlobalOptions, sessionId: string, status: "deleted" | "deleting", text: string): void {
  if (json) printJson({ sessionId, status });
  else print(`${sessionId}: ${text}`);
}

/** Says what a deletion removes. */
export function lossText({ sessions, total, sessions_left_out = 0, partial }: FamilyView): string {
  const [session, ...listed] = sessions;
  const others = `${partial ? "more than " : ""}${counted(listed.length + sessions_left_out, "child session")}`;
  const children = listed.length === 0 ? "" : `, and its ${others} with theirs`;
  const { title, status = "unknown" } = session ?? {};
  const name = title === undefined ? "The session" : `The session "${title}"`;
  const cost = costText(total.cost_usd, (total.turns_without_cost ?? 0) > 0);
  return (
    `${name} is ${status}. Its sandbox and files, its conversation (${counted(total.turns, "turn")}, ${cost}) and its traces` +
    `${children} will be lost.`
  );
}

/** @returns whether it is gone before the command stops waiting */
async function waitUntilGone(api: ApiClient, sessionId: string): Promise<boolean> {
  const deadlineMs = Date.now() + WAIT_MS;
  do {
    if ((await unlessGone(api.session(sessionId))) === undefined) return true;
    await sleep(POLL_MS);
  } while (Date.now() < deadlineMs);
  return false;
}

/** Returns the answer; `undefined` if the session was deleted. @throws any other error */
async function unlessGone<T>(answer: Promise<T>): Promise<T | undefined> {
  return answer.catch((error: unknown) => {
    if (error instanceof ApiError && error.status === GONE) return undefined;
    throw error;
  });
}
