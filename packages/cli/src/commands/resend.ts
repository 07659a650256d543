import type { ResentSpans } from "@valet/shared/protocol/session-api";
import type { Command } from "commander";
import type { ApiClient } from "../api-client.ts";
import { ApiError } from "../api-transport.ts";
import { connect, type GlobalOptions, printJson, printLines } from "../context.ts";
import { ExitCode, UserError } from "../errors.ts";
import { findSessionId } from "../find-id.ts";
import { EXAMPLE_SESSION, helpEnd } from "../help-text.ts";

interface ResendOptions extends GlobalOptions {
  readonly all?: boolean;
}

interface Resent extends ResentSpans {
  readonly sessionId: string;
}

export function addResend(program: Command): void {
  program
    .command("resend [session]")
    .description("send a session's waiting spans to the backend now, also after the session stopped retrying")
    .option("--all", "every session whose spans have not reached the backend for over a minute")
    .addHelpText(
      "after",
      helpEnd("spans are still waiting, or were refused", `resend ${EXAMPLE_SESSION}`, "resend --all"),
    )
    .action(async (session: string | undefined, _options, command: Command) => {
      const options = command.optsWithGlobals<ResendOptions>();
      if ((session === undefined) !== (options.all === true)) throw new UserError("Name a session, or give --all.");
      const api = connect(options);
      const ids =
        session === undefined
          ? (await api.sessionsWithExportProblem()).map(({ id }) => id)
          : [await findSessionId(api, session)];
      const resent: Resent[] = [];
      // One session after the other, so as not to overload a backend that has just come back.
      for (const id of ids) resent.push({ sessionId: id, ...(await resend(api, id, options.all === true)) });
      if (options.json) printJson({ sessions: resent });
      else printLines(linesOf(resent));
      if (resent.some(isUndelivered)) process.exitCode = ExitCode.FAILED;
    });
}

/** @param continueOnError whether a failure becomes the session's result, so that the other sessions follow */
async function resend(api: ApiClient, id: string, continueOnError: boolean): Promise<ResentSpans> {
  const resent = await api.resend(id).catch((error: unknown) => {
    if (!(error instanceof ApiError)) throw error;
    if (continueOnError) return { exported: true, waitingSpans: 0, reason: error.message };
    throw error;
  });
  if (!resent.exported) {
    throw new UserError("This Valet exports no spans: OTEL_EXPORTER_OTLP_ENDPOINT is not set where it runs.");
  }
  return resent;
}

function linesOf(resent: readonly Resent[]): string[] {
  if (resent.length === 0) return ["No session has undelivered spans."];
  return resent.map((each) => `${each.sessionId}  ${isUndelivered(each) ? undeliveredText(each) : "sent"}`);
}

function isUndelivered({ waitingSpans, reason }: ResentSpans): boolean {
  return waitingSpans > 0 || reason !== undefined;
}

function undeliveredText({ waitingSpans, reason = "waiting", hint }: ResentSpans): string {
  const what =
    waitingSpans === 0 ? "not sent" : `${waitingSpans} ${waitingSpans === 1 ? "span waiting" : "spans waiting"}`;
  return `${what}: ${reason}${hint === undefined ? "" : ` (${hint})`}`;
}
