import type { Command } from "commander";
import { connect, type GlobalOptions, print, printJson, report } from "../context.ts";
import { findSessionId } from "../find-id.ts";
import { goesOnText } from "../goes-on.ts";
import { exitSoon } from "../output.ts";
import { untilStopped } from "../stopping.ts";
import { terminalOf } from "../terminal.ts";
import { watchFrame } from "../watch/watch-frame.ts";
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
      "\nOn a terminal the picture is redrawn; elsewhere lines are appended. With --json, a line of JSON for each change.\n" +
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
            ? new Screen()
            : appended();
      try {
        await watchSession(api, sessionId, screen, stopping.signal);
      } finally {
        if (screen instanceof Screen) screen.end();
        stopping.release();
      }
      if (stopping.signal.aborted) {
        report(goesOnText(sessionId));
      } else report("The session has ended.");
      await exitSoon();
      // A socket that is closing would keep the process running.
      process.exit();
    });
}

/** Appends a line for each change, for pipes and logs. */
function appended(): WatchOutput {
  let last = "";
  const at = () => new Date().toISOString().slice(11, 19);
  return {
    changed: (_model, lines) => {
      for (const line of lines) print(`${at()} ${line}`);
    },
    notice: (text) => {
      if (text !== "" && text !== last) print(`${at()} ${text}`);
      last = text;
    },
  };
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
  #model: WatchModel | undefined;
  #notice = "";
  #drawn = 0;
  readonly #tick = setInterval(() => this.#draw(), TICK_MS);

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
    const lines = watchFrame(this.#model, { columns, rows }, Date.now(), this.#notice);
    // Up to the first line of the picture before, and clear from there on (ECMA-48: CPL, ED).
    const up = this.#drawn === 0 ? "" : `\u001b[${this.#drawn}F`;
    process.stdout.write(`${up}\u001b[0J${lines.join("\n")}\n`);
    this.#drawn = lines.length;
  }
}
