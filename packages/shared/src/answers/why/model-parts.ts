/** What the time of a model call was spent on: waiting for the first token, streaming, failed tries and the pauses after them. Pure. */
import type { OwnTime, Segment } from "./critical-path.ts";
import { type Node, OPEN_US } from "./forest.ts";
import { nameAfter, numberOf, reasonOf, type Step, stepOf, textOf } from "./step.ts";

const MODEL = "chat ";
const TRY = "valet.llm.try";
const PAUSE = "valet.retry.wait";

/** What is known of a call. */
interface Call {
  readonly model: string | null;
  /** The error of the first try that was repeated. */
  readonly cause: string | null;
  /** The last try; `null` if the call was not retried. */
  readonly lastTry: Node | null;
}

/** Returns the model calls of a tree, by the spans that belong to them: the call itself, its tries and its pauses. */
export function modelCalls(root: Node): ReadonlyMap<Node, Call> {
  const calls = new Map<Node, Call>();
  const left = [root];
  for (let node = left.pop(); node !== undefined; node = left.pop()) {
    for (const child of node.children) left.push(child);
    const model = nameAfter(MODEL, node.span);
    if (model === null) continue;
    const call = callOf(node, textOf(node.span, "gen_ai.request.model") ?? model);
    calls.set(node, call);
    for (const child of node.children) if (isOfCall(child)) calls.set(child, call);
  }
  return calls;
}

function isOfCall({ span: { name } }: Node): boolean {
  return name === TRY || name === PAUSE;
}

function callOf(node: Node, model: string | null): Call {
  const tries = node.children.filter(({ span }) => span.name === TRY).sort((a, b) => a.startUs - b.startUs);
  const failed = tries.find(({ span }) => reasonOf(span) !== null);
  return { model, cause: failed === undefined ? null : reasonOf(failed.span), lastTry: tries.at(-1) ?? null };
}

/** Returns what a period of a call, a try or a pause was spent on. */
export function callSegments(time: OwnTime, { model, cause, lastTry }: Call): Segment[] {
  const { node, startUs, endUs, around } = time;
  const one = (step: Step): Segment[] => [{ startUs, endUs, path: [...around, step] }];
  if (node.span.name === TRY && node !== lastTry) return one(stepOf("model.retry", node.span, model, cause));
  if (node.span.name === PAUSE) return one(stepOf("model.retry", node.span, model, cause));
  if (node.span.name !== TRY && lastTry !== null) {
    const isOver = startUs >= lastTry.endUs && reasonOf(lastTry.span) === null;
    return one(stepOf(isOver ? "model.streaming" : "model.retry", node.span, model, cause));
  }
  const firstUs = Math.min(Math.max(firstTokenUs(node), startUs), endUs);
  const cut = (name: Step["name"], fromUs: number, toUs: number): Segment[] =>
    fromUs < toUs ? [{ startUs: fromUs, endUs: toUs, path: [...around, stepOf(name, node.span, model)] }] : [];
  return [...cut("model.first_token", startUs, firstUs), ...cut("model.streaming", firstUs, endUs)];
}

/**
 * Returns when the first token came. While the call is open only the last one's time is known, so all of it counts as streaming
 * once there is one; a call that ended well without saying when likewise.
 */
function firstTokenUs({ span, startUs, endUs }: Node): number {
  const seconds = numberOf(span, "gen_ai.response.time_to_first_chunk");
  if (seconds !== null) return startUs + Math.round(Math.max(seconds, 0) * 1e6);
  const heardMs = numberOf(span, "valet.last_heard_ms");
  const requestMs = numberOf(span, "valet.llm.last_request_ms");
  if (endUs === OPEN_US) return heardMs !== null && heardMs >= (requestMs ?? 0) ? startUs : OPEN_US;
  return reasonOf(span) === null ? startUs : OPEN_US;
}
