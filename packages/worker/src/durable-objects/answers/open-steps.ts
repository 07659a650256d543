/** Reads the steps of running work off the open spans of its trace. Pure. */
import type { Typical } from "@valet/shared/answers/verdict/durations";
import type { Step, StepKind } from "@valet/shared/answers/verdict/facts";
import { HEARD } from "@valet/shared/heard";
import { marked } from "@valet/shared/spans";
import { attributesToObject, type OpenSpan } from "@valet/shared/tracing";
import { saidMs } from "../core/iso-time.ts";

export interface StepOptions {
  /** The runner's clock minus the object's at its hello, in ms. */
  readonly clockOffsetMs: number;
  /** The attempt whose steps these are. Its times are by the object's clock, epoch ms. */
  readonly attempt: { readonly spanId: string; readonly dispatchedMs: number; readonly acceptedMs: number };
  /** How long a command of a workflow may take, in ms. */
  readonly commandMs: number;
  readonly typical: (kind: StepKind, name: string) => Typical;
}

/** Less than this is the time that a hello and an acceptance take, which differs. */
const CLOCK_SET_MS = 1000;

/** What the wait before a retry may follow. A runner could name anything. */
const PROVIDER_ERRORS = marked("failsOver");

/** What each span waits for; the others hold steps, or are none. */
const KINDS: readonly (readonly [name: RegExp, kind: StepKind, nameKey?: string])[] = [
  [/^chat /, "model", "gen_ai.request.model"],
  [/^execute_tool /, "tool", "gen_ai.tool.name"],
  [/^valet\.retry\.wait$/, "retry"],
  [/^valet\.agent\.prepare$/, "prepare"],
  [/^valet\.compaction$/, "compaction"],
  [/^valet\.(?:agent\.unresponsive|runner\.opencode_(?:start|wait))$/, "agent"],
  [/^valet\.turn\.finalize$/, "finalize"],
  [/^valet\.workflow\.step /, "command", "valet.workflow.step.name"],
  [/^valet\.(?:permission|question)\.wait$/, "person"],
];

/**
 * Returns the open steps of a trace that have no open step below them, in order of their starts.
 * @param spans the open spans of the trace
 */
export function openSteps(spans: readonly OpenSpan[], hello: StepOptions): Step[] {
  const options = { ...hello, clockOffsetMs: offsetNow(spans, hello) };
  const byId = new Map(spans.map((span) => [span.context.spanId, span]));
  const steps = spans.flatMap((span) => stepOf(span, options) ?? []);
  const above = new Set<string>();
  for (const { span } of steps) {
    // A cycle, which only a hostile runner makes, ends where it has been.
    for (let parent = span.parent; parent !== undefined && !above.has(parent.spanId); ) {
      above.add(parent.spanId);
      parent = byId.get(parent.spanId)?.parent;
    }
  }
  return steps
    .filter(({ span }) => !above.has(span.context.spanId))
    .map(({ step }) => step)
    .sort((a, b) => a.sinceMs - b.sinceMs);
}

/**
 * Returns how far the runner's clock is ahead as it was when the work began: a clock may be set while the runner is connected, and the
 * runner reads it anew for each attempt. The work began between its dispatch and its acceptance.
 */
function offsetNow(spans: readonly OpenSpan[], { clockOffsetMs, attempt }: StepOptions): number {
  const work = spans.find(({ parent }) => parent?.spanId === attempt.spanId);
  if (work === undefined) return clockOffsetMs;
  const startMs = startOf(work);
  const began = startMs - clockOffsetMs;
  if (began < attempt.dispatchedMs - CLOCK_SET_MS) return startMs - attempt.dispatchedMs;
  if (began > attempt.acceptedMs + CLOCK_SET_MS) return startMs - attempt.acceptedMs;
  return clockOffsetMs;
}

function startOf({ startTime: { seconds, nanos } }: OpenSpan): number {
  return seconds * 1000 + Math.floor(nanos / 1e6);
}

function stepOf(span: OpenSpan, options: StepOptions): { readonly span: OpenSpan; readonly step: Step } | undefined {
  const [, kind, nameKey = ""] = KINDS.find(([pattern]) => pattern.test(span.name)) ?? [];
  if (kind === undefined) return undefined;
  const attributes = attributesToObject(span.attributes);
  // Of a workflow's steps, only commands are steps here: a prompt has its own.
  if (kind === "command" && attributes["valet.workflow.step.type"] !== "command") return undefined;
  const { clockOffsetMs, commandMs, typical } = options;
  const read = (key: string) => saidMs(attributes[key]);
  const atMs = (ms: number | undefined) => (ms === undefined ? null : ms - clockOffsetMs);
  const name = String(attributes[nameKey] ?? "");
  const askedMs = read(HEARD.request);
  // What was heard before belongs to an earlier try.
  const heard = (ms: number | undefined) => atMs(ms !== undefined && ms < (askedMs ?? 0) ? undefined : ms);
  const timeoutMs = kind === "command" ? commandMs : (read("valet.tool.timeout_ms") ?? read("valet.retry.delay_ms"));
  const after = attributes["valet.retry.after"];
  const step: Step = {
    kind,
    name,
    sinceMs: startOf(span) - clockOffsetMs,
    askedMs: atMs(askedMs),
    heardMs: heard(read(HEARD.content)),
    byteMs: heard(read(HEARD.byte)),
    timeoutMs: timeoutMs ?? null,
    afterError: PROVIDER_ERRORS.find((type) => type === after) ?? null,
    typical: typical(kind, name),
  };
  return { span, step };
}
