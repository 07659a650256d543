import type { Command } from "commander";
import { connect, findConnection, type GlobalOptions, print, printJson, report } from "../context.ts";
import { counted } from "../counted.ts";
import { ExportReader } from "../export/export-reader.ts";
import { type ExportManifest, exportSession } from "../export/session-export.ts";
import { findSessionId } from "../find-id.ts";
import { EXAMPLE_SESSION, helpEnd } from "../help-text.ts";

/** How long an export takes before it says how far it is, and how often it does, in ms. */
const PROGRESS_MS = 2000;

export function addExport(program: Command): void {
  program
    .command("export <session> [folder]")
    .description(
      "write everything of a session into a new folder: conversation, turns, workflows, changes and traces as JSON lines",
    )
    .addHelpText(
      "after",
      `
The folder is named like the session unless another one is given, which must be empty or not exist. It has session.jsonl,
messages.jsonl, turns.jsonl, workflows.jsonl, changes.jsonl (what each turn changed, with its patch), traces.otlp.jsonl (one
OTLP/JSON request a line, as a Collector reads it) and manifest.json, which says how much is in them. It appears when it is
complete.
${helpEnd(undefined, `export ${EXAMPLE_SESSION} backup/${EXAMPLE_SESSION}`)}`,
    )
    .action(async (session: string, folder: string | undefined, _options, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const sessionId = await findSessionId(connect(options), session);
      const { manifest, path } = await exportSession({
        api: new ExportReader(findConnection(options)),
        sessionId,
        folder: folder ?? sessionId,
        version: program.version() ?? "",
        onLine: progress(Date.now),
      });
      if (options.json) printJson({ folder: path, ...manifest });
      else print(exportedText(path, manifest));
    });
}

/** Returns a function that says how far an export is, once it has taken a while. */
function progress(now: () => number): (file: string, lines: number) => void {
  let saidMs = now();
  return (file, lines) => {
    if (now() - saidMs < PROGRESS_MS) return;
    saidMs = now();
    report(`${file}: ${counted(lines, "line")} so far`);
  };
}

/** What an export has written, as a sentence. */
export function exportedText(path: string, { status, counts }: Pick<ExportManifest, "status" | "counts">): string {
  const { messages, turns, workflows, spans } = counts;
  const parts = [counted(messages, "message"), counted(turns, "turn"), counted(workflows, "workflow")];
  const moving = ENDED.has(status)
    ? ""
    : ` The session is ${status}: what it adds from now on, and spans that are open, are not in it.`;
  return `${path}: ${parts.join(", ")} and ${counted(spans, "span")}.${moving}`;
}

const ENDED: ReadonlySet<unknown> = new Set(["terminated", "hibernated"]);
