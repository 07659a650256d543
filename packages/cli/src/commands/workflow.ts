import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { connect, type GlobalOptions, print, printJson, report } from "../context.ts";
import { ExitCode, UserError } from "../errors.ts";
import { findSessionId } from "../find-id.ts";
import { whileItGoesOn } from "../goes-on.ts";
import { EXAMPLE_SESSION, helpEnd } from "../help-text.ts";
import { readStdin } from "../read-stdin.ts";
import { systemErrorText } from "../system-error.ts";
import { outcomeLines, waitForWorkflow } from "../wait.ts";
import { createProgress } from "../workflow-progress.ts";
import { timeoutOption } from "./arguments.ts";

interface WorkflowOptions extends GlobalOptions {
  readonly wait: boolean;
  readonly timeout: number;
}

export function addWorkflow(program: Command): void {
  program
    .command("workflow <session> <file>")
    .description("run a list of steps in a session, and print what each step returns")
    .addHelpText(
      "after",
      `
The file (or standard input, for -) holds the JSON that the API takes:
  {"name": "release", "onFailure": "stop", "steps": [
    {"name": "mend", "prompt": "Make the failing test pass."},
    {"name": "test", "run": "npm test"}]}

A wait that ends early, by --timeout or by Ctrl-C (exit code 130), leaves the work as it is.
${helpEnd("a step failed, or the workflow did not end within --timeout", `workflow ${EXAMPLE_SESSION} steps.json`)}`,
    )
    .option("--no-wait", "do not wait for the workflow to end")
    .addOption(timeoutOption("how long to wait", 3_600_000))
    .action(async (session: string, file: string, _options, command: Command) => {
      const options = command.optsWithGlobals<WorkflowOptions>();
      const request = await readWorkflow(file);
      const api = connect(options);
      const sessionId = await findSessionId(api, session);
      const started = await api.startWorkflow(sessionId, request);
      const { executionId } = started;
      if (!options.wait) {
        if (options.json) printJson({ sessionId, ...started });
        else print(`${executionId} ${started.status}`);
        return;
      }
      const progress = createProgress(report, options.json ? () => {} : print);
      const workflow = await whileItGoesOn(options, sessionId, () =>
        waitForWorkflow(api, sessionId, executionId, report, progress, options.timeout),
      );
      if (options.json) printJson({ sessionId, workflow });
      if (workflow.outcome !== "ok") process.exitCode = ExitCode.FAILED;
      if (workflow.outcome === "ok") report("Outcome: ok.");
      else outcomeLines(workflow).forEach(report);
      report(`Trace:   pnpm valet trace ${sessionId} ${workflow.traceId ?? ""}`);
    });
}

/** @throws UserError when the file cannot be read or is not JSON */
async function readWorkflow(file: string): Promise<unknown> {
  let json: string;
  try {
    json = file === "-" ? await readStdin("the workflow", report) : readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(unreadableText(file, error as NodeJS.ErrnoException));
  }
  try {
    return JSON.parse(json);
  } catch {
    throw new UserError(`${file === "-" ? "Standard input" : file} is not valid JSON.`);
  }
}

function unreadableText(file: string, error: NodeJS.ErrnoException): string {
  const instead = "Give the path of a JSON file with the workflow's steps, or - for standard input.";
  if (error.code === "ENOENT") return `There is no file ${file}. ${instead}`;
  if (error.code === "EISDIR") return `${file} is a folder. ${instead}`;
  return systemErrorText(error, instead) ?? `${file} cannot be read (${error.code}). ${instead}`;
}
