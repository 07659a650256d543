/** Runs the demo: two messages, a hibernation, and a third message that wakes the session. */
import { setTimeout as sleep } from "node:timers/promises";
import { demoMessages } from "@valet/scripted-model";
import { LIMITS } from "@valet/shared/limits";
import type { ApiClient } from "../api-client.ts";
import { UserError } from "../errors.ts";
import { readSpans, type TraceSpan } from "../trace-tree.ts";
import { answerText, outcomeLines, waitForMessage, waitForStatus } from "../wait.ts";
import { findFaults } from "./expected-spans.ts";

export interface DemoResult {
  readonly sessionId: string;
  readonly answers: readonly string[];
  /** The session's traces, oldest first, as OTLP/JSON and as spans. */
  readonly traces: readonly {
    readonly traceId: string;
    readonly otlp: unknown;
    readonly spans: readonly TraceSpan[];
  }[];
  /** What is missing in the traces; empty when the demo passed. */
  readonly faults: readonly string[];
}

/** Spans reach the store shortly after they end. */
const SPANS_TIMEOUT_MS = 15_000;

/** @throws UserError when the session or a turn fails */
export async function runDemo(api: ApiClient, repoUrl: string, report: (line: string) => void): Promise<DemoResult> {
  const [first, second, third] = demoMessages;
  const { id } = await api.createSession({ repoUrl, title: "demo" });
  report(`Session ${id}: a sandbox starts, clones ${repoUrl} and starts OpenCode …`);
  const answers = [await converse(api, id, first, report), await converse(api, id, second, report)];
  report("The session hibernates …");
  await api.change(id, "hibernate");
  await waitForStatus(api, id, ["hibernated"], LIMITS.commandWaitMs);
  report("… and a message wakes it.");
  answers.push(await converse(api, id, third, report));
  return { sessionId: id, answers, ...(await collectTraces(api, id)) };
}

async function converse(api: ApiClient, id: string, content: string, report: (line: string) => void): Promise<string> {
  report(`> ${content}`);
  const { messageId } = await api.sendMessage(id, { content });
  const message = await waitForMessage(api, id, messageId, (line) => report(`  ${line}`), LIMITS.commandWaitMs);
  if (message.outcome !== "ok") throw new UserError(["The turn failed.", ...outcomeLines(message)].join(" "));
  const answer = answerText(message);
  report(
    answer
      .split("\n")
      .map((line) => `< ${line}`)
      .join("\n"),
  );
  return answer;
}

/** Reads the traces until all expected spans are there, or until the timeout. */
async function collectTraces(api: ApiClient, id: string): Promise<Pick<DemoResult, "traces" | "faults">> {
  const deadline = Date.now() + SPANS_TIMEOUT_MS;
  for (;;) {
    const summaries = (await api.traces(id)).sort((a, b) => a.startedAt.localeCompare(b.startedAt));
    const traces = await Promise.all(
      summaries.map(async ({ traceId }) => {
        const otlp = await api.trace(id, traceId);
        return { traceId, otlp, spans: readSpans(otlp) };
      }),
    );
    const faults = findFaults(traces.map(({ spans }) => spans));
    if (faults.length === 0 || Date.now() > deadline) return { traces, faults };
    await sleep(200);
  }
}
