import type { Command } from "commander";
import { addBackendOptions, type BackendArguments, backendOf } from "../backend-options.ts";
import { connect, type GlobalOptions, printJson, printLines, report } from "../context.ts";
import { ExitCode } from "../errors.ts";
import { findVerifiable } from "../find-verifiable.ts";
import { EXAMPLE_SESSION, helpEnd } from "../help-text.ts";
import { verifiedLines } from "../verify-text.ts";
import { verifyTraces } from "../verify-traces.ts";
import { durationOption } from "./arguments.ts";

interface VerifyCommandOptions extends GlobalOptions, BackendArguments {
  readonly wait: number;
}

const WAIT_MS = 30_000;

const HELP = `
Counts sets of span ids: those that the session has heard of, and what became of each. It waits for spans that are open or on their
way. \`complete\` means that the backend has acknowledged all; without a backend, that all are stored. With --tempo-url or --jaeger-url
the ids in that backend are compared, too.

`;

export function addVerify(program: Command): void {
  const verify = program
    .command("verify <id> [message]")
    .description("say what became of each span of a session or a message: whether its traces are whole");
  addBackendOptions(verify, "compare with the spans in")
    .addOption(durationOption("--wait", "how long to wait for what is pending", WAIT_MS))
    .addHelpText(
      "after",
      HELP +
        helpEnd(
          "not complete after the wait: pending, incomplete, undetermined or not sampled; or the backend differs",
          `verify ${EXAMPLE_SESSION}`,
          `verify ${EXAMPLE_SESSION} msg_6t9f`,
          "verify msg_6t9f --jaeger-url http://127.0.0.1:16686",
        ),
    )
    .action(async (first: string, second: string | undefined, _options, command: Command) => {
      const options = command.optsWithGlobals<VerifyCommandOptions>();
      const api = connect(options);
      const backend = backendOf(options);
      await backend?.check();
      const { what, sessionId, traceIds } = await findVerifiable(api, first, second);
      const verified = await verifyTraces(api, sessionId, traceIds, { backend, waitMs: options.wait, report });
      if (options.json) printJson({ session_id: sessionId, ...verified });
      else printLines(verifiedLines(what, verified));
      if (!verified.ok) process.exitCode = ExitCode.FAILED;
    });
}
