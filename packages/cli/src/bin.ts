#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { addAttention } from "./commands/attention.ts";
import { addDelete } from "./commands/delete.ts";
import { addDemo } from "./commands/demo.ts";
import { addDiff } from "./commands/diff.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addExport } from "./commands/export.ts";
import { addMcp } from "./commands/mcp.ts";
import { addMessages } from "./commands/messages.ts";
import { addPrompt } from "./commands/prompt.ts";
import { addQueue } from "./commands/queue.ts";
import { addReply } from "./commands/reply.ts";
import { addResend } from "./commands/resend.ts";
import { addSessions } from "./commands/sessions.ts";
import { addSmoke } from "./commands/smoke.ts";
import { addStatus } from "./commands/status.ts";
import { addTrace } from "./commands/trace.ts";
import { addTurns } from "./commands/turns.ts";
import { addUp } from "./commands/up.ts";
import { addWatch } from "./commands/watch.ts";
import { addWebhooks } from "./commands/webhooks.ts";
import { addWhy } from "./commands/why.ts";
import { addWorkflow } from "./commands/workflow.ts";
import { addGlobalOptions, report } from "./context.ts";
import { ExitCode, UserError } from "./errors.ts";
import { surviveOutputErrors } from "./output.ts";

surviveOutputErrors();
const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
const program = addGlobalOptions(new Command("valet"))
  .description("Hosts coding agents, and shows where time and money went and what failed.")
  .version(version)
  .exitOverride()
  .configureHelp({ showGlobalOptions: true });
for (const add of [
  addUp,
  addDemo,
  addPrompt,
  addReply,
  addWorkflow,
  addStatus,
  addAttention,
  addWatch,
  addMessages,
  addQueue,
  addSessions,
  addWhy,
  addTurns,
  addTrace,
  addDiff,
  addResend,
  addExport,
  addDelete,
  addMcp,
  addWebhooks,
  addSmoke,
  addDoctor,
])
  add(program);

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = exitCodeOf(error);
}

function exitCodeOf(error: unknown): number {
  // commander has already printed what is wrong with the arguments.
  if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.OK : ExitCode.USAGE;
  if (error instanceof UserError) {
    report(`valet: ${error.message}`);
    return ExitCode.USAGE;
  }
  report(`valet: internal error: ${error instanceof Error ? error.stack : String(error)}`);
  report("Please report it with the lines above.");
  return ExitCode.FAILED;
}
