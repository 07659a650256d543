import { setTimeout as sleep } from "node:timers/promises";
import type { NowView } from "@valet/shared/protocol/now";
import type { Command } from "commander";
import type { ApiClient } from "../api-client.ts";
import { helpOfChange, type Told, tell } from "../change-session.ts";
import { connect, type GlobalOptions, reportToPerson } from "../context.ts";
import { counted } from "../counted.ts";
import { findSessionId } from "../find-id.ts";
import { sayIfSlow } from "../system/slow-step.ts";

/** How long the command waits until the work has stopped, and how often it looks, in ms. */
const WAIT_MS = 20_000;
const POLL_MS = 200;

export function addAbort(program: Command): void {
  program
    .command("abort <session>")
    .description("stop what runs in a session now; what waits in its queue stays and runs next")
    .addHelpText("after", helpOfChange("abort"))
    .action(async (session: string, _options, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const api = connect(options);
      const sessionId = await findSessionId(api, session);
      const before = await api.now(sessionId);
      await api.change(sessionId, "abort");
      const ids = before.running.map(({ id }) => id);
      const after = await sayIfSlow("stopping", reportToPerson, waitUntilStopped(api, sessionId, ids));
      const ended = await api.session(sessionId);
      const isOver = ended.status === "terminated" && ids.length === 0;
      tell(
        options,
        ended,
        isOver ? { text: OVER, more: { stopped: [], stopping: [] } } : abortText(sessionId, ids, after),
      );
    });
}

const OVER = "Nothing was running: the session is terminated.";

/** Says what an abort has stopped, and what comes next. @param ids the messages and workflows that ran before it */
export function abortText(
  sessionId: string,
  ids: readonly string[],
  after: { readonly running: readonly { readonly id: string }[]; readonly queueLength: number },
): Told {
  const running = after.running.map(({ id }) => id);
  const stopping = running.filter((id) => ids.includes(id));
  const stopped = ids.filter((id) => !stopping.includes(id));
  const begun = running.filter((id) => !ids.includes(id));
  const next = nextText(sessionId, begun, after.queueLength);
  const text =
    ids.length === 0
      ? `Nothing was running. ${next}`
      : stopping.length > 0
        ? `Still stopping: ${stopping.join(", ")}. See it: valet status ${sessionId}.`
        : `Stopped: ${stopped.join(", ")}. ${next}`;
  return { text, more: { stopped, stopping } };
}

/** Says what the session does after an abort. @param begun what has begun since: the next of the queue, at once */
function nextText(sessionId: string, begun: readonly string[], queued: number): string {
  if (begun.length === 0 && queued === 0) return `Send the next message: valet prompt --session ${sessionId} "…".`;
  const runs = `${begun.join(", ")} ${begun.length === 1 ? "runs" : "run"} now; stop that, too: valet abort ${sessionId}.`;
  if (queued === 0) return runs;
  const [run, them] = queued === 1 ? ["runs", "it"] : ["run", "them"];
  const waits = `${counted(queued, "job")} in the queue ${run} next; withdraw ${them}: valet clear ${sessionId}.`;
  return begun.length === 0 ? waits : `${runs} ${waits}`;
}

async function waitUntilStopped(api: ApiClient, sessionId: string, ids: readonly string[]): Promise<NowView> {
  const deadlineMs = Date.now() + WAIT_MS;
  for (;;) {
    const now = await api.now(sessionId);
    if (!now.running.some(({ id }) => ids.includes(id)) || Date.now() >= deadlineMs) return now;
    await sleep(POLL_MS);
  }
}
