import type { TraceSummaryView } from "@valet/shared/protocol/session-api";
import type { Command } from "commander";
import type { ApiClient } from "../api-client.ts";
import { ApiError } from "../api-transport.ts";
import { connect, type GlobalOptions, print, printJson } from "../context.ts";
import { counted } from "../counted.ts";
import { UserError } from "../errors.ts";
import { findSessionId, findTraceId } from "../find-id.ts";
import { buildTrees, formatMillis, readSpans, renderTrees } from "../trace-tree.ts";

export function addTrace(program: Command): void {
  program
    .command("trace <session> [trace]")
    .description("show one trace of a session as a tree with times, or list the session's traces")
    .action(async (session: string, trace: string | undefined, _options, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const api = connect(options);
      const sessionId = await findSessionId(api, session);
      if (trace === undefined) await listTraces(api, sessionId, options);
      else await showTrace(api, sessionId, await findTraceId(api, sessionId, trace), options);
    });
}

async function listTraces(api: ApiClient, sessionId: string, options: GlobalOptions): Promise<void> {
  const traces = await api.traces(sessionId);
  if (options.json) {
    printJson({ traces });
    return;
  }
  if (traces.length === 0) print("No traces yet.");
  for (const summary of traces) print(summaryLine(summary));
}

/**
 * Returns the line of a trace in the list. An open trace has no duration: its known end is only that of the last ended
 * span.
 */
export function summaryLine(summary: TraceSummaryView): string {
  const { traceId, name, startedAt, duration_ms, spans, openSpans, errors } = summary;
  const notes = [
    counted(spans, "span"),
    ...(openSpans > 0 ? [`${openSpans} open`] : []),
    ...(errors > 0 ? [counted(errors, "error")] : []),
  ];
  const duration = openSpans > 0 ? "open" : formatMillis(duration_ms);
  return [traceId, startedAt, duration.padStart(8), name ?? "…", `(${notes.join(", ")})`].join("  ");
}

async function showTrace(api: ApiClient, sessionId: string, traceId: string, options: GlobalOptions): Promise<void> {
  const otlp = await api.trace(sessionId, traceId).catch((error: unknown) => {
    if (error instanceof ApiError && error.status === 404)
      throw new UserError(`${error.message} See \`valet trace ${sessionId}\`.`);
    throw error;
  });
  if (options.json) {
    printJson(otlp);
    return;
  }
  for (const line of traceLines(otlp)) print(line);
}

/** Returns the lines that show a trace. */
export function traceLines(otlp: unknown): string[] {
  const spans = readSpans(otlp);
  const services = [...new Set(spans.map(({ service }) => service))].sort();
  const head = `trace ${spans[0]?.traceId ?? ""}: ${counted(spans.length, "span")} of ${services.join(", ")}`;
  return [head, ...renderTrees(buildTrees(spans), Date.now())];
}
