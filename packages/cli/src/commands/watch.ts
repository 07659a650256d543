import type { NowView } from "@valet/shared/protocol/now";
import type { Command } from "commander";
import { connect, type GlobalOptions, print, printJson, report } from "../context.ts";
import { findSessionId } from "../find-id.ts";
import { goesOnText } from "../goes-on.ts";
import { exitSoon } from "../output.ts";
import { STOP_SIGNALS, untilStopped } from "../stopping.ts";
import { terminalOf } from "../terminal.ts";
import { watchFrame } from "../watch/watch-frame.ts";
import { watchLines } from "../watch/watch-lines.ts";
import type { WatchModel } from "../watch/watch-model.ts";
import { type WatchOutput, watchSession } from "../watch/watch-session.ts";

/** How often the ages on a terminal are drawn, in ms. */
const TICK_MS = 1_000;

export function addWatch(program: Command): void {
  program
    .command("watch <session>")
    .description(
      "show live what a session does: running tools with their age, text as it comes, queue, cost; ends with the session",
    )
    .addHelpText(
      "after",
      "\nOn a terminal the picture is redrawn; elsewhere lines are appended, one every 15 s at least. With --json, a line of JSON for\n" +
        "each change. Ctrl-C ends only the watch.\n" +
        "\nExit codes: 0 the session has ended, or nobody reads the output any more; 2 usage or environment error; 130 Ctrl-C.\n" +
        "\nExample:\n  valet watch ses_01j8z3k5m7n9p1q3r5s7t9v1w3",
    )
    .action(async (session: string, _options, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const api = connect(options);
      const sessionId = await findSessionId(api, session);
      const stopping = untilStopped();
      const screen =
        options.json === true
          ? jsonLines()
          : terminalOf(process.stdout, process.env).canRedraw
            ? new Screen(api.serverNow)
            : watchLines(print, api.serverNow);
      let last: NowView | undefined;
      try {
        last = await watchSession(api, sessionId, screen, stopping.signal);
      } finally {
        if (screen instanceof Screen) screen.end();
        stopping.release();
      }
      if (stopping.stoppedBy !== undefined) {
        report(leftText(sessionId, last));
        process.exitCode = STOP_SIGNALS[stopping.stoppedBy];
      } else if (!stopping.signal.aborted) report("The session has ended.");
      await exitSoon();
      // A socket that is closing would keep the process running.
      process.exit();
    });
}

/** Says what goes on in a session that is no longer watched. */
function leftText(sessionId: string, now: NowView | undefined): string {
  const works = now === undefined || now.running.length > 0 || now.queueLength > 0;
  return works ? goesOnText(sessionId) : `The session has nothing to do now. See it: valet status ${sessionId}.`;
}

/** Writes the whole answer of `/now` for each change of the session. */
function jsonLines(): WatchOutput {
  let last: WatchModel["now"];
  return {
    changed: ({ now }) => {
      if (now === undefined || now === last) return;
      last = now;
      printJson(now);
    },
    notice: (text) => {
      if (text !== "") report(text);
    },
  };
}

/** Redraws one picture in place. */
class Screen implements WatchOutput {
  readonly #now: () => number;
  #model: WatchModel | undefined;
  #notice = "";
  #drawn = 0;
  readonly #tick = setInterval(() => this.#draw(), TICK_MS);

  /** @param now the server's time in epoch ms */
  constructor(now: () => number) {
    this.#now = now;
  }

  changed(model: WatchModel): void {
    this.#model = model;
    this.#draw();
  }

  notice(text: string): void {
    this.#notice = text;
    this.#draw();
  }

  /** Stops drawing; the last picture stays. */
  end(): void {
    clearInterval(this.#tick);
  }

  #draw(): void {
    if (this.#model === undefined) return;
    const { columns = 0, rows } = terminalOf(process.stdout, process.env);
    const lines = watchFrame(this.#model, { columns, rows }, this.#now(), this.#notice);
    // Up to the first line of the picture before, and clear from there on (ECMA-48: CPL, ED).
    const up = this.#drawn === 0 ? "" : `\u001b[${this.#drawn}F`;
    process.stdout.write(`${up}\u001b[0J${lines.join("\n")}\n`);
    this.#drawn = lines.length;
  }
}
