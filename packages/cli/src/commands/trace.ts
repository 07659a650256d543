import { clockTexts } from "@valet/shared/answers/clocks";
import { breakdownText } from "@valet/shared/duration-text";
import type { TraceCertificate } from "@valet/shared/protocol/certificate";
import type { TraceSummaryView } from "@valet/shared/protocol/session-api";
import { type Command, Option } from "commander";
import type { ApiClient } from "../api-client.ts";
import { ApiError } from "../api-transport.ts";
import { connect, type GlobalOptions, print, printJson, printLines, report } from "../context.ts";
import { counted } from "../counted.ts";
import { timeOf } from "../duration-arguments.ts";
import { UserError } from "../errors.ts";
import { findSessionId, findTraceId } from "../find-id.ts";
import { findTraces } from "../find-traces.ts";
import { endedText, followTrace, spanJson, spanLine } from "../follow-trace.ts";
import { goesOnText } from "../goes-on.ts";
import { exitSoon } from "../output.ts";
import { paintSpan, paintTrace } from "../paint.ts";
import { STOP_SIGNALS, untilStopped } from "../stopping.ts";
import { terminalOf } from "../terminal.ts";
import { chooseSpans, flatten, keepSpans, type TraceFilter, traceToFollow } from "../trace-filter.ts";
import {
  barWidth,
  buildTrees,
  readSpans,
  renderTrees,
  type TraceNode,
  type TraceSpan,
  traceClocks,
} from "../trace-tree.ts";
import { wordOf } from "../verify-text.ts";
import { parseLimit } from "./arguments.ts";

interface TraceOptions extends GlobalOptions {
  readonly limit?: number;
  readonly errors?: boolean;
  readonly open?: boolean;
  readonly since?: string;
  readonly follow?: boolean;
}

/** How many traces are listed by default. */
const LISTED = 20;

const HELP = `
The options choose among the session's traces, or, with a trace, among its spans; those above a chosen span are shown, too.
--errors and --open together choose either. --follow without a trace follows the newest open one, that of work before that of its
sandbox, or else the newest; Ctrl-C ends it, and the work goes on.
In the list that --json prints, \`spans\` is the number of spans that have ended, \`openSpans\` of those that have not.

Exit codes: 0 success; 2 usage or environment error; 130 Ctrl-C ended --follow.

Examples:
  valet trace ses_6t9f                          the last traces of a session
  valet trace ses_6t9f --errors --since 2h      those with errors of the last two hours
  valet trace ses_6t9f 4bf92f                   one trace as a tree
  valet trace ses_6t9f 4bf92f --open            what it waits for
  valet trace ses_6t9f --follow                 what happens now, live, until its trace ends`;

export function addTrace(program: Command): void {
  program
    .command("trace <session> [trace]")
    .description("show one trace of a session as a tree with times, or list the session's traces")
    .option("--limit <n>", `how many traces (${LISTED} if omitted), or spans (all if omitted)`, parseLimit)
    .option("--errors", "only what failed")
    .option("--open", "only what has not ended")
    .option("--since <time>", "only what began since: an ISO time, or an age such as 30m, 24h, 7d")
    .addOption(
      new Option("--follow", "show live how spans begin and end, until the trace ends").conflicts(["limit", "open"]),
    )
    .addHelpText("after", HELP)
    .action(async (session: string, trace: string | undefined, _options, command: Command) => {
      const options = command.optsWithGlobals<TraceOptions>();
      // A text that is no time is refused before anything is asked.
      filterOf(options, Date.now());
      const api = connect(options);
      const filter = filterOf(options, await api.timeFor(options.since));
      const sessionId = await findSessionId(api, session);
      const traceId = trace === undefined ? undefined : await findTraceId(api, sessionId, trace);
      if (options.follow) await follow(api, sessionId, traceId ?? (await newest(api, sessionId)), filter, options);
      else if (traceId === undefined) await listTraces(api, sessionId, filter, options);
      else await showTrace(api, sessionId, traceId, filter, options);
    });
}

/** @throws UserError if a time cannot be read */
function filterOf({ errors, open, since }: TraceOptions, nowMs: number): TraceFilter {
  const sinceMs = since === undefined ? undefined : Date.parse(timeOf("--since", since, nowMs));
  return { errors, open, sinceMs };
}

async function listTraces(
  api: ApiClient,
  sessionId: string,
  filter: TraceFilter,
  { json, limit = LISTED }: TraceOptions,
): Promise<void> {
  const { traces, hasMore, lookedAt } = await findTraces(api, sessionId, filter, limit);
  if (json) {
    printJson({ traces, has_more: hasMore || lookedAt !== undefined });
    return;
  }
  if (traces.length === 0) print(noneText(filter));
  printLines(traces.map(summaryLine), { paint: paintTrace });
  if (hasMore) report(`There are more traces: --limit ${limit * 2}.`);
  if (lookedAt !== undefined) report(`Only the newest ${lookedAt} traces were looked at.`);
}

function noneText({ errors, open, sinceMs }: TraceFilter): string {
  return errors || open || sinceMs !== undefined ? "No such traces." : "No traces yet.";
}

/**
 * Returns the line of a trace in the list. An open trace has no duration: its known end is only that of the last ended
 * span.
 */
export function summaryLine(summary: TraceSummaryView): string {
  const { traceId, name, startedAt, duration_ms, spans, openSpans, errors } = summary;
  const all = counted(spans + openSpans, "span");
  const notes = [
    openSpans > 0 ? `${openSpans} of ${all} open` : all,
    ...(errors > 0 ? [counted(errors, "error")] : []),
  ];
  const duration = openSpans > 0 ? "open" : breakdownText(duration_ms);
  return [traceId, startedAt, duration.padStart(9), name ?? "…", `(${notes.join(", ")})`].join("  ");
}

async function showTrace(
  api: ApiClient,
  sessionId: string,
  traceId: string,
  filter: TraceFilter,
  { json, limit = Number.POSITIVE_INFINITY }: TraceOptions,
): Promise<void> {
  const otlp = await api.trace(sessionId, traceId).catch((error: unknown) => sayWhere(error, sessionId));
  const spans = readSpans(otlp);
  const clocks = traceClocks(spans);
  const { trees, leftOut } = chooseSpans(buildTrees(spans), filter, limit, clocks);
  if (json) {
    const ids = new Set(trees.flatMap(flatten).map(({ spanId }) => spanId));
    printJson(ids.size === spans.length ? otlp : keepSpans(otlp, ids));
    return;
  }
  printTree(spans, trees, api.serverNow());
  for (const text of clockTexts(clocks)) print(text);
  // An older Valet has no certificates.
  const certificate = await api.certifyTrace(sessionId, traceId).catch(() => undefined);
  if (certificate !== undefined) print(certificateLine(certificate));
  if (leftOut > 0) report(`There are ${leftOut} more spans: --limit ${limit * 2}.`);
}

/** Returns what the session can account for of a trace's spans. */
function certificateLine({ state, sentence }: TraceCertificate): string {
  return `${wordOf(state)}: ${sentence}`;
}

/** Says where the ids of traces are found. @throws UserError */
function sayWhere(error: unknown, sessionId: string): never {
  if (!(error instanceof ApiError) || error.type !== "trace-not-found") throw error;
  const { type, message } = error;
  throw new UserError(`${message} See \`valet trace ${sessionId}\`.`, { type });
}

async function newest(api: ApiClient, sessionId: string): Promise<string> {
  const trace = traceToFollow((await api.tracePage(sessionId)).traces);
  if (trace === undefined) throw new UserError(`Session ${sessionId} has no traces yet.`, { type: "trace-not-found" });
  return trace.traceId;
}

async function follow(
  api: ApiClient,
  sessionId: string,
  traceId: string,
  { errors, sinceMs = -Infinity }: TraceFilter,
  { json }: TraceOptions,
): Promise<void> {
  const stopping = untilStopped();
  let noticed = "";
  if (!json) print(`trace ${traceId}`);
  try {
    const followed = await followTrace(api, sessionId, traceId, {
      onSpan: (span) => {
        if ((errors && !span.isError) || span.startUs / 1000 < sinceMs) return;
        if (json) printJson({ traceId, ...spanJson(span) });
        else printLines([spanLine(span)], { paint: paintSpan });
      },
      onNotice: (text) => {
        if (text !== "" && text !== noticed) report(text);
        noticed = text;
      },
      signal: stopping.signal,
    }).catch((error: unknown) => sayWhere(error, sessionId));
    if (stopping.stoppedBy !== undefined) {
      report(goesOnText(sessionId));
      process.exitCode = STOP_SIGNALS[stopping.stoppedBy];
    } else if (!stopping.signal.aborted) report(endedText(sessionId, traceId, followed));
  } finally {
    stopping.release();
  }
  await exitSoon();
}

/** Prints the lines of {@link treeLines}. */
export function printTree(spans: readonly TraceSpan[], trees?: readonly TraceNode[], nowMs?: number): void {
  const { columns } = terminalOf(process.stdout, process.env);
  printLines(treeLines(spans, trees, barWidth(columns), nowMs), { paint: paintSpan, tooLong: "cut" });
}

/** Returns the spans of a trace as trees, with a line above them. @param trees those that are shown */
export function treeLines(
  spans: readonly TraceSpan[],
  trees: readonly TraceNode[] = buildTrees(spans),
  width?: number,
  nowMs = Date.now(),
): string[] {
  const services = [...new Set(spans.map(({ service }) => service))].sort();
  const head = `trace ${spans[0]?.traceId ?? ""}: ${counted(spans.length, "span")} of ${services.join(", ")}`;
  const lines = trees.length === 0 ? ["No such spans."] : renderTrees(trees, nowMs, false, width, traceClocks(spans));
  return [head, ...lines];
}
