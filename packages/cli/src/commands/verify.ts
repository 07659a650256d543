import { SessionId } from "@valet/shared/protocol/session-api";
import type { Command } from "commander";
import type { ApiClient } from "../api-client.ts";
import { connect, type GlobalOptions, printJson, printLines, report } from "../context.ts";
import { ExitCode, UserError } from "../errors.ts";
import { findSessionId } from "../find-id.ts";
import { findWhy } from "../find-why.ts";
import { EXAMPLE_SESSION } from "../help-text.ts";
import { verifiedLines } from "../verify-text.ts";
import { verifyTraces } from "../verify-traces.ts";
import { durationOption } from "./arguments.ts";
import { addBackendOptions, type BackendArguments, backendOf } from "./backend-options.ts";

interface VerifyCommandOptions extends GlobalOptions, BackendArguments {
  readonly wait: number;
}

/** What is verified: all traces of a session, or those of one message or workflow. */
interface Verifiable {
  readonly what: string;
  readonly sessionId: string;
  readonly traceIds: readonly string[];
}

const WAIT_MS = 30_000;

const HELP = `
Counts sets of span ids: those that the session has heard of, and what became of each. It waits for spans that are open or on their
way. \`complete\` means that the backend has acknowledged all; without a backend, that all are stored. With --tempo-url or --jaeger-url
the ids in that backend are compared, too.

Exit codes: 0 complete; 1 not (after the wait: pending, incomplete, undetermined, not sampled, or the backend differs);
2 usage or environment error.

Examples:
  valet verify ${EXAMPLE_SESSION}            every trace of a session
  valet verify ${EXAMPLE_SESSION} msg_6t9f   one message
  valet verify msg_6t9f --jaeger-url http://127.0.0.1:16686`;

export function addVerify(program: Command): void {
  const verify = program
    .command("verify <id> [message]")
    .description("say what became of each span of a session or a message: whether its traces are whole");
  addBackendOptions(verify, "compare with the spans in")
    .addOption(durationOption("--wait", "how long to wait for what is pending", WAIT_MS))
    .addHelpText("after", HELP)
    .action(async (first: string, second: string | undefined, _options, command: Command) => {
      const options = command.optsWithGlobals<VerifyCommandOptions>();
      const api = connect(options);
      const backend = backendOf(options);
      await backend?.check();
      const { what, sessionId, traceIds } = await find(api, first, second);
      const verified = await verifyTraces(api, sessionId, traceIds, { backend, waitMs: options.wait, report });
      if (options.json) printJson({ session_id: sessionId, ...verified });
      else printLines(verifiedLines(what, verified));
      if (!verified.ok) process.exitCode = ExitCode.FAILED;
    });
}

async function find(api: ApiClient, first: string, second: string | undefined): Promise<Verifiable> {
  const isSession = SessionId.safeParse(first).success || first.startsWith("ses_");
  if (isSession && second === undefined) {
    const sessionId = await findSessionId(api, first);
    const traceIds = (await api.traces(sessionId)).map(({ traceId }) => traceId);
    if (traceIds.length === 0) throw new UserError(`Session ${sessionId} has no traces.`, { type: "trace-not-found" });
    return { what: `Session ${sessionId}`, sessionId, traceIds };
  }
  const { sessionId, messageId, kind, traceId } =
    second === undefined ? await findWhy(api, first, undefined) : await findWhy(api, second, first);
  if (traceId === null)
    throw new UserError(`The ${kind} ${messageId} has no trace: tracing was off.`, { type: "trace-not-found" });
  const traceIds =
    kind === "workflow"
      ? [traceId]
      : (await api.certifyMessage(sessionId, messageId)).traces.map((trace) => trace.traceId);
  return { what: `${kind === "workflow" ? "Workflow" : "Message"} ${messageId}`, sessionId, traceIds };
}
