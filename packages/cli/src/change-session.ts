/** Changes a session's state, and waits until the change is seen, so that the command can say what happened. */
import { setTimeout as sleep } from "node:timers/promises";
import type { SessionView } from "@valet/shared/protocol/session-view";
import type { ApiClient } from "./api-client.ts";
import { type GlobalOptions, print, printJson, reportToPerson } from "./context.ts";
import { placeText } from "./queue-text.ts";

/** How long a command waits for a change to be seen, and how often it looks, in ms. */
const WAIT_MS = 20_000;
const POLL_MS = 200;
/** A wait that takes longer is shown: otherwise a person does not know whether anything goes on. */
const SLOW_MS = 2_000;

/** What a command says of a change. */
export interface Told {
  /** What happened, and what to do next. */
  readonly text: string;
  /** Further fields for scripts. */
  readonly more?: Readonly<Record<string, unknown>>;
}

interface Waiting {
  readonly waitMs?: number;
  /** After how long the wait is shown. */
  readonly slowMs?: number;
  /** Receives the session's state, and each further one, if the wait takes longer. */
  readonly say?: (line: string) => void;
}

/** Returns the session once `done` holds for it, or as it is when the command stops waiting. */
export async function waitForChange(
  api: Pick<ApiClient, "session">,
  sessionId: string,
  done: (session: SessionView) => boolean,
  { waitMs = WAIT_MS, slowMs = SLOW_MS, say = reportToPerson }: Waiting = {},
): Promise<SessionView> {
  const startMs = Date.now();
  let said = "";
  for (;;) {
    const session = await api.session(sessionId);
    const tookMs = Date.now() - startMs;
    if (done(session) || tookMs >= waitMs) return session;
    const state = stateText(session);
    if (tookMs >= slowMs && state !== said) {
      say(`${state} …`);
      said = state;
    }
    await sleep(POLL_MS);
  }
}

function stateText({ status, capacityPlace }: SessionView): string {
  return capacityPlace === undefined ? status : `${status}, ${placeText(capacityPlace)}`;
}

/** Prints what happened to a session. */
export function tell({ json }: GlobalOptions, session: SessionView, { text, more = {} }: Told): void {
  const { id: sessionId, status } = session;
  if (json) printJson({ sessionId, status, ...more, message: text });
  else print(`${sessionId}: ${text}`);
}

const USAGE = "2 usage or environment error";

/** The exit codes beside 0 of a command that a session may refuse. */
export const refusedIf = (why: string) => `1 refused: ${why}; ${USAGE}`;

/** The end of the help of the commands that change a session. @param codes what the exit codes beside 0 mean */
export function helpOfChange(command: string, codes: string = USAGE): string {
  return `
Exit codes: 0 it is done, was so before, or goes on; ${codes}.

Example:
  valet ${command} ses_01j8z3k5m7n9p1q3r5s7t9v1w3`;
}
