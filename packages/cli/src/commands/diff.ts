import type { DiffQuery } from "@valet/shared/protocol/changes";
import { visibleText } from "@valet/shared/visible-text";
import { withoutUndefined } from "@valet/shared/without-undefined";
import { type Command, Option } from "commander";
import { connect, type GlobalOptions, printJson, printLines, report } from "../context.ts";
import { colouredPatch, missingLines, statLines } from "../diff-text.ts";
import { ExitCode } from "../errors.ts";
import { askAboutTurns, findSessionId } from "../find-id.ts";
import { readDiff } from "../read-diff.ts";
import { terminalOf } from "../terminal.ts";

interface Options extends GlobalOptions {
  readonly stat?: boolean;
  readonly file?: string;
}

export function addDiff(program: Command): void {
  program
    .command("diff <session> [from] [to]")
    .description(
      "show what the session's last turn changed, as a patch; with <from>, all turns from that one on (`first`: from the beginning), up to <to>",
    )
    .option("--stat", "show commits, files and counts of lines instead of the patch")
    .addOption(new Option("--file <path>", "only this file's part of the patch").conflicts("stat"))
    .addHelpText(
      "after",
      `
<from> and <to> are ids of messages, workflows or turns. It works while the session sleeps,
and waits up to 5 s for a turn that has just ended.
Exit codes: 0 success; 1 what the turns changed is unknown; 2 usage or environment error.

Examples:
  valet diff ses_1                     what the last turn changed
  valet diff ses_1 first --stat        what each turn changed, in numbers
  valet diff ses_1 msg_7 msg_7         what the turn of one message changed
  valet diff ses_1 --file README.md    what it changed in one file
  valet diff ses_1 first | git apply   all changes, in another clone`,
    )
    .action(async (session: string, from: string | undefined, to: string | undefined, _options, command: Command) => {
      await showDiff(session, { from, to }, command.optsWithGlobals<Options>());
    });
}

const reportWait = () => report("# The last turn has just ended. Waiting for its runner to report what it changed …");

async function showDiff(session: string, range: DiffQuery, options: Options): Promise<void> {
  const api = connect(options);
  const sessionId = await findSessionId(api, session);
  const { diff, query } = await askAboutTurns(api, sessionId, range, async (asked) => {
    const { file, stat, json } = options;
    // The numbers need no patch.
    const query = withoutUndefined({ ...asked, file, patch: stat && !json ? ("none" as const) : undefined });
    return { diff: await readDiff(api, sessionId, query, reportWait), query };
  });
  const { turns, unknown_turns, omitted_turns } = diff;
  if (turns.length > 0 && unknown_turns === turns.length) process.exitCode = ExitCode.FAILED;
  if (options.json) {
    printJson(diff);
    return;
  }
  if (options.stat || turns.length === 0) {
    printLines(statLines(diff), { tooLong: "cut" });
    return;
  }
  for (const line of turns.flatMap(missingLines)) report(line);
  if (omitted_turns > 0) report(`# ${omitted_turns} earlier turns are left out: ask for fewer, with <to>.`);
  if (diff.patch === "" && unknown_turns === 0) {
    const what = options.file === undefined ? "No text file changed." : `No patch has the file ${options.file}.`;
    report(`# ${what} \`--stat\` shows all files.`);
  }
  const { columns, hasColour } = terminalOf(process.stdout, process.env);
  if (hasColour) process.stdout.write(colouredPatch(visibleText(diff.patch)));
  else if (columns !== undefined) process.stdout.write(visibleText(diff.patch));
  // Byte by byte, since a patch has the encodings of its files.
  else process.stdout.write(await api.patch(sessionId, query));
}
