import { LIMITS } from "@valet/shared/limits";
import type { Command } from "commander";
import { ApiClient } from "../api-client.ts";
import { addBackendOptions, type BackendArguments, backendOf } from "../backend-options.ts";
import type { BackendQuery } from "../backend-query.ts";
import { findConnection, type GlobalOptions, printJson, printLines, report } from "../context.ts";
import { missingSpans, TURN } from "../demo/expected-spans.ts";
import { ExitCode, UserError } from "../errors.ts";
import { helpEnd } from "../help-text.ts";
import { repositoryUrl } from "../local-repository.ts";
import { paintFinding } from "../paint.ts";
import { readSpans, type TraceSpan } from "../trace-tree.ts";
import { userFolder } from "../user-folder.ts";
import { waitFor, waitForMessage } from "../wait.ts";
import { timeoutOption } from "./arguments.ts";

interface SmokeOptions extends GlobalOptions, BackendArguments {
  readonly repo?: string;
  readonly timeout: number;
}

/** Spans that every turn leaves, wherever it runs. */
const EXPECTED = ["POST /api/sessions/:id/messages", "valet.prompt", ...TURN];
const PROMPT = "Answer with the single word: ready";

interface Finding {
  readonly ok: boolean;
  readonly detail: string;
}

interface Check extends Finding {
  readonly name: string;
}

export function addSmoke(program: Command): void {
  const smoke = program
    .command("smoke")
    .description("check a deployment: create a session, send a message, read its spans")
    .option("--repo <url or folder>", "give the session a repository");
  addBackendOptions(smoke, "also look for the spans in")
    .addOption(timeoutOption("how long each step may take", LIMITS.commandWaitMs))
    .addHelpText("after", helpEnd("a check failed", "smoke --jaeger-url http://127.0.0.1:16686"))
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<SmokeOptions>();
      const connection = findConnection(options);
      const api = new ApiClient(connection);
      const { repo } = options;
      const local = { cwd: userFolder(), valetUrl: connection.url, report };
      const repoUrl = repo === undefined ? undefined : await repositoryUrl(repo, local);
      const backend = backendOf(options);
      // The backend is checked first, before a session costs anything.
      await backend?.check();
      const checks = await runChecks(api, backend, { repoUrl, timeout: options.timeout });
      if (options.json) printJson({ ok: checks.every(({ ok }) => ok), checks });
      else printLines(checks.map(lineOf), { paint: paintFinding });
      if (checks.some(({ ok }) => !ok)) process.exitCode = ExitCode.FAILED;
    });
}

const lineOf = ({ name, ok, detail }: Check) => `${ok ? "ok    " : "FAILED"}  ${name}: ${detail}`;

/** Runs the checks in order, and skips those that depend on a failed one. */
async function runChecks(
  api: ApiClient,
  backend: BackendQuery | undefined,
  { repoUrl, timeout }: { readonly repoUrl: string | undefined; readonly timeout: number },
): Promise<Check[]> {
  const session = await api.createSession(repoUrl === undefined ? {} : { repoUrl });
  const checks: Check[] = [{ name: "session", ok: true, detail: session.id }];
  try {
    report(`Session ${session.id}; waiting for the answer …`);
    const { traceId, ...turn } = await takeTurn(api, session.id, timeout);
    checks.push({ name: "turn", ...turn });
    if (traceId === undefined) return checks;

    let spans: TraceSpan[] = [];
    const inSession = await retry(timeout, async () => {
      spans = readSpans(await api.trace(session.id, traceId));
      return judgeTrace(spans);
    });
    checks.push({ name: "spans in the session", ...inSession });
    if (backend === undefined) return checks;

    report(`Waiting for the spans in ${backend.kind} …`);
    const inBackend = await retry(timeout, async () => {
      const { spanIds, problem } = await backend.trace(traceId);
      return problem === undefined ? compareSpans(spans, spanIds) : { ok: false, detail: problem };
    });
    checks.push({ name: `spans in ${backend.kind}`, ...inBackend });
    return checks;
  } finally {
    await api.change(session.id, "terminate").catch((error: Error) => report(`Could not terminate: ${error.message}`));
  }
}

async function takeTurn(api: ApiClient, sessionId: string, timeoutMs: number): Promise<Finding & { traceId?: string }> {
  try {
    const { messageId } = await api.sendMessage(sessionId, { content: PROMPT });
    const { traceId, ...message } = await waitForMessage(api, sessionId, messageId, report, timeoutMs);
    const { outcome, errorType = message.outcomeReason } = message;
    const why = message.failure === undefined ? "" : `: ${message.failure.message}`;
    const detail = errorType === undefined ? `${outcome}` : `${outcome} (${errorType})${why}`;
    if (traceId !== undefined) return { ok: outcome === "ok", detail, traceId };
    return { ok: false, detail: `${detail}; it has no trace: is tracing off (OTEL_SDK_DISABLED)?` };
  } catch (error) {
    if (error instanceof UserError) return { ok: false, detail: error.message };
    throw error;
  }
}

/** Checks that the trace is complete, as far as the trace itself shows. */
function judgeTrace(spans: readonly TraceSpan[]): Finding {
  const ids = new Set(spans.map(({ spanId }) => spanId));
  const faults = [
    ...missingSpans(spans, EXPECTED).map((name) => `no ${name}`),
    ...spans.flatMap(({ name, endMs }) => (endMs === undefined ? [`${name} is still open`] : [])),
    ...spans.flatMap(({ name, parentSpanId: id }) => (id && !ids.has(id) ? [`the parent of ${name} is missing`] : [])),
  ];
  return { ok: faults.length === 0, detail: faults.length === 0 ? `${spans.length}` : faults.join(", ") };
}

/** Checks that the backend has every span that has ended. */
function compareSpans(spans: readonly TraceSpan[], found: ReadonlySet<string>): Finding {
  const ended = spans.filter(({ endMs }) => endMs !== undefined);
  const missing = ended.filter(({ spanId }) => !found.has(spanId)).map(({ name }) => name);
  const count = `${ended.length - missing.length} of ${ended.length}`;
  if (missing.length === 0) return { ok: ended.length > 0, detail: count };
  // If some spans arrived, the rest is late or lost; if none did, they went to another backend or nowhere.
  const why =
    missing.length === ended.length
      ? "is OTEL_EXPORTER_OTLP_ENDPOINT set where Valet runs, does it name this backend, and is the trace sampled?"
      : `missing: ${missing.join(", ")}`;
  return { ok: false, detail: `${count}; ${why}` };
}

/** Repeats a check until it passes, since spans take time through queues and backends. @returns the last finding */
async function retry(timeoutMs: number, look: () => Promise<Finding>): Promise<Finding> {
  let last: Finding = { ok: false, detail: "nothing" };
  const ask = async () => {
    last = await look().catch((error: Error) => ({ ok: false, detail: error.message }));
    return last;
  };
  return waitFor("spans", ask, ({ ok }) => ok, timeoutMs).catch(() => last);
}
