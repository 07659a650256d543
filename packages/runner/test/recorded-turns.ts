/**
 * Turns of a runner whose OpenCode is a stand-in, which immediately plays recordings of the real one's events (fake-opencode.ts).
 * ../src/opencode/real.test.ts tests that the real one behaves as recorded.
 */
import { PromptDispatch } from "@valet/shared/protocol/dispatch";
import type { MessagePart } from "@valet/shared/protocol/message-part";
import type { ValetSpans } from "@valet/shared/spans";
import {
  type AttributeValue,
  attributesToObject,
  formatTraceparent,
  type ReadableSpan,
  Tracer,
} from "@valet/shared/tracing";
import { expect, onTestFinished, vi } from "vitest";
import type { AgentAsks } from "../src/agent/agent.ts";
import { JobRunner, type JobRunnerOptions } from "../src/jobs/job-runner.ts";
import { OpenCodeAgent } from "../src/opencode/agent.ts";
import { FakeOpenCode, type FakeOptions, type RawEvent } from "./fake-opencode.ts";

export function setUp(fake: FakeOptions, options: Partial<JobRunnerOptions> = {}) {
  const opencode = new FakeOpenCode(fake);
  onTestFinished(() => opencode[Symbol.asyncDispose]());
  const started: ReadableSpan[] = [];
  const ended: ReadableSpan[] = [];
  const tracer = new Tracer<ValetSpans>({
    scope: { name: "test" },
    processor: { onStart: (span) => started.push(span), onEnd: (span) => ended.push(span) },
  });
  const parts: [attemptId: string, part: MessagePart][] = [];
  const asked: AgentAsks[] = [];
  const quiet: string[] = [];
  const runner = new JobRunner({
    agent: new OpenCodeAgent(opencode),
    tracer,
    captureContent: false,
    defaultModel: "valet/default",
    stuckTurnMs: 10_000,
    partIntervalMs: 0,
    workspace: "/nowhere",
    env: {},
    onStep: () => {},
    onCommand: async () => {},
    onPart: (attemptId, part) => parts.push([attemptId, part]),
    onAsked: (request) => asked.push(request),
    onWorking: (attemptId) => quiet.push(attemptId),
    ...options,
    limits: { abortTimeoutMs: 500, ...options.limits },
  });
  return { opencode, runner, started, ended, parts, asked, quiet };
}

export const isIdle = ({ properties }: RawEvent) => properties.status?.type === "idle";

/** The answer of the recording `simple`. */
export const SIMPLE_TREE = `
valet.turn ok
  invoke_agent build ok
    valet.agent.prepare ok
    chat scripted-1 ok
    execute_tool read ok
    chat scripted-1 ok
    execute_tool edit ok
    chat scripted-1 ok
    execute_tool bash ok
    chat scripted-1 ok
  valet.turn.finalize ok`;

let dispatches = 0;

export function dispatch(fields: Partial<PromptDispatch> = {}): PromptDispatch {
  const number = ++dispatches;
  return PromptDispatch.parse({
    attemptId: `att_${number}`,
    attempt: 1,
    messageId: `msg_${number}`,
    messageIds: [`msg_${number}`],
    content: "Fix the greeting.",
    channel: "main",
    queue: { waitMs: 12.4, reason: "runner_busy", mode: "followup" },
    traceparent: traceparentOf(number),
    ...fields,
  });
}

const traceIdOf = (number: number) => number.toString(16).padStart(32, "a");
export const traceparentOf = (number: number) =>
  formatTraceparent({
    traceId: traceIdOf(number),
    spanId: "b".repeat(16),
    traceFlags: 1,
    traceState: "",
    isRemote: true,
  });

export const attributesOf = (span: ReadableSpan | undefined): Record<string, AttributeValue> =>
  attributesToObject([...(span?.attributes ?? [])]);

/** Returns the spans as lines `name outcome error`, each indented below its parent. */
export function treeOf(spans: readonly ReadableSpan[], traceId?: string): string {
  const own = spans.filter(({ context }) => traceId === undefined || context.traceId === traceId);
  const lines: string[] = [];
  const draw = (parentId: string | undefined, indent: string) => {
    for (const span of own.filter(({ parent }) => parent?.spanId === parentId)) {
      const { "valet.outcome": outcome, ...why } = attributesOf(span);
      const errorType = why["error.type"] ?? why["valet.outcome.reason"] ?? "";
      lines.push(`${indent}${span.name} ${outcome} ${errorType}`.trimEnd());
      draw(span.context.spanId, `${indent}  `);
    }
  };
  const ids = new Set(own.map(({ context }) => context.spanId));
  const tops = new Set(own.filter(({ parent }) => !ids.has(parent?.spanId ?? "")).map(({ parent }) => parent?.spanId));
  for (const top of tops) draw(top, "");
  return lines.join("\n");
}

export const byStart = (spans: readonly ReadableSpan[]) => spans.filter(({ endTime }) => endTime !== undefined);

/** Returns a condition that stops after the event that reports the running command. */
export function untilCommandRuns() {
  let isRunning = false;
  return ({ properties: { part } }: RawEvent) => {
    const isOver = isRunning;
    isRunning ||= part?.state?.status === "running" && part.tool === "bash";
    return isOver;
  };
}

/** How long a turn may be silent where the test holds the clock: with a real one, a machine that pauses would end the turn. */
export const STUCK_MS = 10_000;

/** From now on only the test makes timers due. */
export function holdClock(): void {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  onTestFinished(() => void vi.useRealTimers());
}

/** Lets the time pass that work takes to end. */
export async function ending<T>(work: Promise<T>): Promise<T> {
  let isOver = false;
  void work.finally(() => {
    isOver = true;
  });
  await vi.waitFor(() => expect(isOver).toBe(true), 20_000);
  return work;
}
