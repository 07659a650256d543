import { type Command, Option } from "commander";
import type { ApiClient } from "../api-client.ts";
import { connect, type GlobalOptions, print, printJson, report } from "../context.ts";
import { ExitCode } from "../errors.ts";
import { readSpans } from "../trace-tree.ts";
import { waitFor, waitForMessage } from "../wait.ts";
import { parseSeconds } from "./arguments.ts";

interface SmokeOptions extends GlobalOptions {
  readonly repo?: string;
  readonly tempoUrl?: string;
  readonly jaegerUrl?: string;
  readonly queryHeader?: string;
  readonly timeout: number;
}

/** What a turn must leave behind, wherever it ran. */
const EXPECTED = ["valet.prompt", "valet.queue.wait", "valet.prompt.dispatch", "valet.turn"];
const PROMPT = "Answer with the single word: ready";

interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

export function addSmoke(program: Command): void {
  program
    .command("smoke")
    .description("check a deployment: create a session, send a message, read its spans back")
    .option("--repo <url>", "give the session a repository")
    .addOption(new Option("--tempo-url <url>", "look for the spans in this Tempo too").conflicts("jaegerUrl"))
    .option("--jaeger-url <url>", "look for the spans in this Jaeger too")
    .option("--query-header <value>", "the Authorization header for Tempo or Jaeger (VALET_QUERY_AUTHORIZATION)")
    .option("--timeout <seconds>", "how long each step may take", parseSeconds, 300_000)
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<SmokeOptions>();
      const checks = await runChecks(connect(options), options);
      if (options.json) printJson({ ok: checks.every(({ ok }) => ok), checks });
      else for (const { name, ok, detail } of checks) print(`${ok ? "ok    " : "FAILED"}  ${name}: ${detail}`);
      if (checks.some(({ ok }) => !ok)) process.exitCode = ExitCode.FAILED;
    });
}

async function runChecks(api: ApiClient, options: SmokeOptions): Promise<Check[]> {
  const checks: Check[] = [];
  const session = await api.createSession(options.repo === undefined ? {} : { repoUrl: options.repo });
  checks.push({ name: "session", ok: true, detail: session.id });
  try {
    report(`Session ${session.id}; waiting for its answer …`);
    const { messageId } = await api.sendMessage(session.id, { content: PROMPT });
    const message = await waitForMessage(api, session.id, messageId, ({ status }) => report(status), options.timeout);
    const why = message.errorType === undefined ? "" : ` (${message.errorType})`;
    checks.push({ name: "turn", ok: message.outcome === "ok", detail: `${message.outcome}${why}` });
    const { traceId } = message;
    if (traceId === undefined) {
      checks.push({
        name: "spans",
        ok: false,
        detail: "the message has no trace: tracing is off (OTEL_SDK_DISABLED?)",
      });
      return checks;
    }
    checks.push(await findSpans("spans in the session", options.timeout, () => api.trace(session.id, traceId)));
    const backend = backendQuery(options, traceId);
    if (backend !== undefined) {
      checks.push(await findSpans(`spans in ${backend.name}`, options.timeout, backend.ask, backend.read));
    }
    return checks;
  } finally {
    await api.change(session.id, "terminate").catch((error: Error) => report(`Could not terminate: ${error.message}`));
  }
}

/** Asks until the expected spans are there: they take their time through queues and backends. */
async function findSpans(
  name: string,
  timeoutMs: number,
  ask: () => Promise<unknown>,
  read: (answer: unknown) => string[] = (answer) => readSpans(answer).map((span) => span.name),
): Promise<Check> {
  let missing = EXPECTED;
  const look = async () => {
    const names = read(await ask().catch(() => undefined));
    missing = EXPECTED.filter((expected) => !names.includes(expected));
  };
  try {
    await waitFor(name, look, () => missing.length === 0, timeoutMs);
    return { name, ok: true, detail: EXPECTED.join(", ") };
  } catch (error) {
    return { name, ok: false, detail: `${(error as Error).message} Missing: ${missing.join(", ")}.` };
  }
}

interface BackendQuery {
  readonly name: string;
  readonly ask: () => Promise<unknown>;
  readonly read: (answer: unknown) => string[];
}

function backendQuery({ tempoUrl, jaegerUrl, queryHeader }: SmokeOptions, traceId: string): BackendQuery | undefined {
  const base = (tempoUrl ?? jaegerUrl)?.replace(/\/+$/, "");
  if (base === undefined) return undefined;
  const authorization = queryHeader ?? process.env.VALET_QUERY_AUTHORIZATION;
  const ask = async () => {
    const headers = { accept: "application/json", ...(authorization === undefined ? {} : { authorization }) };
    const response = await fetch(`${base}/api/traces/${traceId}`, { headers, signal: AbortSignal.timeout(10_000) });
    return response.ok ? response.json() : undefined;
  };
  return { name: tempoUrl === undefined ? "Jaeger" : "Tempo", ask, read: namesIn };
}

/** Span names of an answer of Tempo (`name`) or Jaeger (`operationName`), wherever they stand in it. */
function namesIn(answer: unknown): string[] {
  if (typeof answer !== "object" || answer === null) return [];
  return Object.entries(answer).flatMap(([key, value]) =>
    (key === "name" || key === "operationName") && typeof value === "string" ? [value] : namesIn(value),
  );
}
