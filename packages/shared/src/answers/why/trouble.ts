/** What has failed in a job that has not ended and is being tried again. Pure. */
import { hasFailed, startsFor } from "./cause-chain.ts";
import { textOf } from "./model-calls.ts";
import { ownSpans, type SpanIndex } from "./span-index.ts";
import type { WhyJob, WhySpan } from "./spans.ts";

export interface Trouble {
  /** What failed first. */
  readonly failed: WhySpan;
  /** A clause: what is done about it. */
  readonly meanwhile: string;
}

/** Returns what delays the job now; else the last thing that had to be done again. @param span that of the job */
export function troubleOf(index: SpanIndex, job: WhyJob, span: WhySpan): Trouble | undefined {
  const own = ownSpans(index, job);
  return retriedCall(index, own) ?? failedStart(index, own, span) ?? failover(index, own) ?? lostAttempt(own);
}

function retriedCall(index: SpanIndex, own: readonly WhySpan[]): Trouble | undefined {
  const calls = own.filter(({ name, endMs }) => name.startsWith("chat ") && endMs === null);
  for (const call of calls) {
    const children = index.children(call);
    const failed = children.filter((child) => child.name === "valet.llm.try" && hasFailed(child));
    if (failed[0] === undefined) continue;
    const model = textOf(call, "gen_ai.request.model") ?? call.name.slice("chat ".length);
    const isWaiting = children.some(({ name, endMs }) => name === "valet.retry.wait" && endMs === null);
    const tried = failed.length === 1 ? "once" : `${failed.length} times`;
    const meanwhile = `\`${model}\`, which has failed ${tried}, ${isWaiting ? "is called again after a pause" : "is being called again"}`;
    return { failed: failed[0], meanwhile };
  }
  return undefined;
}

/** Returns the first failed start that a waiting job waits to see repeated. */
function failedStart(index: SpanIndex, own: readonly WhySpan[], span: WhySpan): Trouble | undefined {
  if (!own.some(({ name, endMs }) => name === "valet.queue.wait" && endMs === null)) return undefined;
  const starts = startsFor(index, span);
  const last = starts.at(-1);
  const failed = starts.find(hasFailed);
  if (failed === undefined || last?.outcome === "ok") return undefined;
  const times = starts.filter(hasFailed).length;
  const again = last?.endMs === null ? "another start is in progress" : "another start follows";
  return { failed, meanwhile: times === 1 ? again : `${again} after ${times} failed ones` };
}

function failover(index: SpanIndex, own: readonly WhySpan[]): Trouble | undefined {
  const running = own.find(({ name, endMs, links }) => {
    return name.startsWith("invoke_agent ") && endMs === null && links.some(({ type }) => type === "follows");
  });
  if (running === undefined) return undefined;
  const before = new Set([running]);
  // A set that grows while it is walked is walked to its end.
  for (const run of before) {
    for (const { type, ...id } of run.links) if (type === "follows") before.add(index.find(id) ?? run);
  }
  const failed = [...before].at(-1);
  if (failed === undefined || !hasFailed(failed)) return undefined;
  return { failed, meanwhile: `\`${textOf(running, "valet.failover.model") ?? "another model"}\` has taken over` };
}

function lostAttempt(own: readonly WhySpan[]): Trouble | undefined {
  const tasks = own.filter(({ name }) => name === "valet.turn" || name === "valet.workflow.execute");
  const failed = tasks.find(({ outcome }) => outcome === "lost");
  if (failed === undefined) return undefined;
  const isRunning = tasks.some(({ endMs }) => endMs === null);
  return { failed, meanwhile: isRunning ? "another attempt is in progress" : "another attempt follows" };
}
