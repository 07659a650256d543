/** The program with all of its commands. */
import { readFileSync } from "node:fs";
import { Command } from "commander";
import { addAbort } from "./commands/abort.ts";
import { addAttention } from "./commands/attention.ts";
import { addClear } from "./commands/clear.ts";
import { addDelete } from "./commands/delete.ts";
import { addDemo } from "./commands/demo.ts";
import { addDiff } from "./commands/diff.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addExport } from "./commands/export.ts";
import { addHibernate } from "./commands/hibernate.ts";
import { addImage } from "./commands/image.ts";
import { addMcp } from "./commands/mcp.ts";
import { addMessages } from "./commands/messages.ts";
import { addOpen } from "./commands/open.ts";
import { addPrompt } from "./commands/prompt.ts";
import { addQueue } from "./commands/queue.ts";
import { addReply } from "./commands/reply.ts";
import { addResend } from "./commands/resend.ts";
import { addSessions } from "./commands/sessions.ts";
import { addSmoke } from "./commands/smoke.ts";
import { addStatus } from "./commands/status.ts";
import { addTerminate } from "./commands/terminate.ts";
import { addToken } from "./commands/token.ts";
import { addTrace } from "./commands/trace.ts";
import { addTurns } from "./commands/turns.ts";
import { addUp } from "./commands/up.ts";
import { addVerify } from "./commands/verify.ts";
import { addWake } from "./commands/wake.ts";
import { addWatch } from "./commands/watch.ts";
import { addWebhooks } from "./commands/webhooks.ts";
import { addWhy } from "./commands/why.ts";
import { addWorkflow } from "./commands/workflow.ts";
import { addGlobalOptions } from "./context.ts";
import { UserError } from "./errors.ts";
import { fitHelp } from "./help-text.ts";
import { terminalOf } from "./terminal.ts";

/** The commands in the order and with the headings of the help: what everybody needs first. */
const GROUPS = {
  "To begin with:": [addUp, addDemo, addOpen, addPrompt, addAttention, addStatus, addWhy],
  "Work with an agent:": [addWatch, addMessages, addReply, addWorkflow, addQueue],
  "Look closer:": [addDiff, addTrace, addVerify, addSessions, addTurns],
  "Stop, sleep, end:": [addAbort, addClear, addHibernate, addWake, addTerminate],
  "Operate:": [addDoctor, addToken, addWebhooks, addResend, addExport, addDelete, addSmoke, addMcp, addImage],
};

const HELP = `
Exit codes: 0 success; 1 the command ran and its result is negative; 2 usage or environment error; 130 Ctrl-C (143 SIGTERM) ended a
wait, and the work goes on.

Example: valet prompt --repo https://github.com/you/project "What does this project do?"`;

/** The narrowest description of an option that is laid out beside its name, in columns. */
const MIN_DESCRIPTION = 24;
/** Of a help in a pipe, which only has its options laid out. */
const PIPE_COLUMNS = 80;

const columnsOf = (stream: NodeJS.WriteStream) => terminalOf(stream, process.env).columns;

/** Returns how a help is written to a stream. */
function helpTo(stream: NodeJS.WriteStream): (text: string) => void {
  return (text) => {
    const columns = columnsOf(stream);
    stream.write(columns === undefined ? text : fitHelp(text, columns));
  };
}

/** @param isJson whether errors of usage are left to the caller, to be printed as JSON */
export function createProgram(isJson = false): Command {
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  const program = addGlobalOptions(new Command("valet"))
    .description("Hosts coding agents, and shows where time and money went and what failed.")
    .version(version)
    .exitOverride()
    .configureHelp({ showGlobalOptions: true, minWidthToWrap: MIN_DESCRIPTION })
    .configureOutput({
      writeOut: helpTo(process.stdout),
      writeErr: helpTo(process.stderr),
      getOutHelpWidth: () => columnsOf(process.stdout) ?? PIPE_COLUMNS,
      getErrHelpWidth: () => columnsOf(process.stderr) ?? PIPE_COLUMNS,
    })
    .showHelpAfterError("Add --help to see how it is used.")
    .addHelpText("after", HELP);
  if (isJson) program.configureOutput({ outputError: () => {}, writeErr: () => {} }).showHelpAfterError(false);
  for (const [heading, commands] of Object.entries(GROUPS)) {
    program.commandsGroup(heading);
    for (const add of commands) add(program);
  }
  return program;
}

const HELP_FLAGS = ["--help", "-h"];

/**
 * Returns the arguments without a request for help, if what they ask for help about is no command: then that is the error. Commander
 * would show the general help, as if the command were there.
 */
export function withoutVainHelp(program: Command, args: readonly string[]): string[] {
  // What follows an option that the program does not know is not among its operands.
  const [first, ...others] = program.parseOptions(args.filter((arg) => !HELP_FLAGS.includes(arg))).operands;
  const names = first === "help" ? others : [first, ...others];
  let command = program;
  for (const name of names) {
    if (name === undefined || command.commands.length === 0) break;
    const next = command.commands.find((each) => each.name() === name);
    if (next === undefined && name !== "help") {
      return args.filter((arg) => !HELP_FLAGS.includes(arg) && arg !== "help");
    }
    if (next === undefined) break;
    command = next;
  }
  return [...args];
}

/** What ids of sessions, messages, workflows and turns begin with. */
const ID = /^(?:ses|msg|wfl|att)_/;

/** @throws UserError if an id stands where the command does, and the command behind it */
export function refuseIdFirst(program: Command, args: readonly string[]): void {
  const [first = "", second] = program.parseOptions([...args]).operands;
  const isCommand = program.commands.some((command) => command.name() === second);
  if (ID.test(first) && isCommand) {
    throw new UserError(`The command comes first: valet ${second} ${first}.`, { type: "usage" });
  }
}
