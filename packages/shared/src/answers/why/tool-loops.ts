/**
 * Finds model calls that only repeated tool calls. The runner compares arguments and results (loop-guard.ts) and ends a run after five
 * equal calls; spans have no content unless it is captured, so here calls are alike if tool, outcome and the lengths of arguments and
 * result are equal, and the arguments where they are known. Pure.
 */
import { DEFAULT_TURN_BOUNDS } from "../../protocol/turn.ts";
import type { ModelCall } from "./model-calls.ts";
import { textOf } from "./model-calls.ts";
import { amountText, type Waste } from "./repeated-work.ts";
import type { WhySpan } from "./spans.ts";
import { counted } from "./text.ts";

/** From how many alike steps on they are a loop: twice may be a check, as of a test after a change. */
const MIN_ALIKE = 3;

const POLLING: ReadonlySet<string> = new Set(DEFAULT_TURN_BOUNDS.pollingTools);

/** A model call, with the tools that it called. */
interface Step {
  readonly call: ModelCall;
  readonly tool: string;
  /** Equal for steps that are alike. */
  readonly signature: string;
}

/** @param own the spans of the job's own work @param calls its model calls, in their order */
export function toolLoops(own: readonly WhySpan[], calls: readonly ModelCall[]): Waste[] {
  const tools = toolsByStep(own);
  // Of several calls in a step, the last one's answer called the tools.
  const steps = new Map(
    calls.flatMap((call) => {
      const { conversation, step } = call;
      return conversation === null || step === null ? [] : [[stepKey(conversation, step), call] as const];
    }),
  );
  const conversations = new Map<string, Step[]>();
  for (const [key, call] of steps) {
    const called = tools.get(key) ?? [];
    const [first] = called;
    if (first === undefined || called.every(isPolling)) continue;
    const list = conversations.get(call.conversation ?? "") ?? [];
    conversations.set(call.conversation ?? "", list);
    list.push({ call, signature: called.map(signatureOf).join("\n"), tool: toolOf(first) });
  }
  return [...conversations.values()].flatMap(loopsOf);
}

/** Like the loop guard, takes a step that is new for progress: repetitions count only until the next one. */
function loopsOf(steps: readonly Step[]): Waste[] {
  const found: Waste[] = [];
  const known = new Set<string>();
  /** The steps of each signature since the last new one. */
  const recent = new Map<string, Step[]>();
  const settle = () => {
    for (const alike of recent.values()) if (alike.length >= MIN_ALIKE) found.push(loopOf(alike));
    recent.clear();
  };
  for (const step of steps) {
    if (!known.has(step.signature)) settle();
    known.add(step.signature);
    const alike = recent.get(step.signature);
    if (alike === undefined) recent.set(step.signature, [step]);
    else alike.push(step);
  }
  settle();
  return found;
}

/** The first of the steps was of use. */
function loopOf([first, ...again]: readonly Step[]): Waste {
  const calls = again.map(({ call }) => call);
  const tool = first?.tool ?? "a tool";
  return {
    reason: "tool_loop",
    calls,
    sentence: (amount) =>
      `${amountText(amount)} went to ${counted(calls.length, "model call")} that called \`${tool}\` again with arguments and a result of the same length.`,
  };
}

const stepKey = (conversation: string, step: string) => `${conversation} ${step}`;

function toolsByStep(own: readonly WhySpan[]): Map<string, WhySpan[]> {
  const tools = new Map<string, WhySpan[]>();
  for (const span of own) {
    if (!span.name.startsWith("execute_tool ") || span.endMs === null) continue;
    const key = stepKey(
      textOf(span, "valet.opencode.session.id") ?? "",
      textOf(span, "valet.opencode.message.id") ?? "",
    );
    const called = tools.get(key);
    if (called === undefined) tools.set(key, [span]);
    else called.push(span);
  }
  return tools;
}

function toolOf(span: WhySpan): string {
  return textOf(span, "gen_ai.tool.name") ?? span.name.slice("execute_tool ".length);
}

function isPolling(span: WhySpan): boolean {
  return POLLING.has(toolOf(span));
}

/**
 * A call whose lengths are unknown is like no other. Arguments are last, since they may be any text; as JSON, so that they have one
 * line.
 */
function signatureOf(span: WhySpan): string {
  const { attributes, outcome, spanId } = span;
  const [input, output] = [attributes["valet.tool.input_length"], attributes["valet.tool.output_length"]];
  if (input === undefined || output === undefined) return spanId;
  const called = textOf(span, "gen_ai.tool.call.arguments");
  return `${toolOf(span)} ${outcome} ${input} ${output} ${called === null ? "" : JSON.stringify(called)}`;
}
