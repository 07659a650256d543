import { setTimeout as sleep } from "node:timers/promises";
import type { NowView } from "@valet/shared/protocol/now";
import type { Command } from "commander";
import type { ApiClient } from "../api-client.ts";
import { helpOfChange, type Told, tell } from "../change-session.ts";
import { connect, type GlobalOptions } from "../context.ts";
import { counted } from "../counted.ts";
import { findSessionId } from "../find-id.ts";

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
      const after = await waitUntilStopped(api, sessionId, ids);
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

/** Says what an abort has stopped. @param ids the messages and workflows that ran before it */
function abortText(sessionId: string, ids: readonly string[], after: Pick<NowView, "running" | "queueLength">): Told {
  const running = after.running.filter(({ id }) => ids.includes(id)).map(({ id }) => id);
  const stopped = ids.filter((id) => !running.includes(id));
  const queue =
    after.queueLength === 0
      ? ` Send the next message: valet prompt --session ${sessionId} "…".`
      : queuedText(sessionId, after.queueLength);
  const text =
    ids.length === 0
      ? `Nothing was running.${queue}`
      : running.length > 0
        ? `Still stopping: ${running.join(", ")}. See it: valet status ${sessionId}.`
        : `Stopped: ${stopped.join(", ")}.${queue}`;
  return { text, more: { stopped, stopping: running } };
}

function queuedText(sessionId: string, count: number): string {
  const [runs, it] = count === 1 ? ["runs", "it"] : ["run", "them"];
  return ` ${counted(count, "job")} in the queue ${runs} next; withdraw ${it}: valet clear ${sessionId}.`;
}

async function waitUntilStopped(api: ApiClient, sessionId: string, ids: readonly string[]): Promise<NowView> {
  const deadlineMs = Date.now() + WAIT_MS;
  for (;;) {
    const now = await api.now(sessionId);
    if (!now.running.some(({ id }) => ids.includes(id)) || Date.now() >= deadlineMs) return now;
    await sleep(POLL_MS);
  }
}
