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
  /** When the first piece came of the answer to the last request, epoch µs by the clock of the spans; `null` if unknown. */
  readonly firstUs: number | null;
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
  const cause = failed === undefined ? null : reasonOf(failed.span);
  return { model, cause, lastTry: tries.at(-1) ?? null, firstUs: firstContentUs(node) };
}

/** Spans tell it of calls that are open, or were lost. A time from before the last request is an earlier try's. */
function firstContentUs({ span, startUs }: Node): number | null {
  const firstMs = numberOf(span, "valet.llm.first_content_ms");
  if (firstMs === null || firstMs < (numberOf(span, "valet.llm.last_request_ms") ?? 0)) return null;
  // The node may have been moved to another clock than the attribute's.
  return startUs + Math.round((firstMs - span.startMs) * 1000);
}

/** Returns what a period of a call, a try or a pause was spent on. */
export function callSegments(time: OwnTime, { model, cause, lastTry, firstUs: knownUs }: Call): Segment[] {
  const { node, startUs, endUs, around } = time;
  const one = (step: Step): Segment[] => [{ startUs, endUs, path: [...around, step] }];
  if (node.span.name === TRY && node !== lastTry) return one(stepOf("model.retry", node.span, model, cause));
  if (node.span.name === PAUSE) return one(stepOf("model.retry", node.span, model, cause));
  if (node.span.name !== TRY && lastTry !== null) {
    const isOver = startUs >= lastTry.endUs && reasonOf(lastTry.span) === null;
    return one(stepOf(isOver ? "model.streaming" : "model.retry", node.span, model, cause));
  }
  const firstUs = Math.min(Math.max(firstTokenUs(node, knownUs), startUs), endUs);
  const cut = (name: Step["name"], fromUs: number, toUs: number): Segment[] =>
    fromUs < toUs ? [{ startUs: fromUs, endUs: toUs, path: [...around, stepOf(name, node.span, model)] }] : [];
  return [...cut("model.first_token", startUs, firstUs), ...cut("model.streaming", firstUs, endUs)];
}

/**
 * Returns when the first token came, of a call or of its last try. An older runner tells only the last token's time while the call is
 * open, so all of it counts as streaming once there is one; a call that ended well without saying when likewise.
 * @param knownUs what the call itself says
 */
function firstTokenUs({ span, startUs, endUs }: Node, knownUs: number | null): number {
  const seconds = numberOf(span, "gen_ai.response.time_to_first_chunk");
  if (seconds !== null) return startUs + Math.round(Math.max(seconds, 0) * 1e6);
  if (knownUs !== null) return knownUs;
  const heardMs = numberOf(span, "valet.last_heard_ms");
  const requestMs = numberOf(span, "valet.llm.last_request_ms");
  if (endUs === OPEN_US) return heardMs !== null && heardMs >= (requestMs ?? 0) ? startUs : OPEN_US;
  return reasonOf(span) === null ? startUs : OPEN_US;
}
