/** What the time of a runner's work on an attempt was spent on. Pure. */
import type { PartName } from "../../protocol/why.ts";
import { KINDS } from "../../spans.ts";
import { criticalPath, type OwnTime, overlaid, type Segment } from "./critical-path.ts";
import type { Node } from "./forest.ts";
import { callSegments, modelCalls } from "./model-parts.ts";
import { isJobSpan } from "./span-index.ts";
import type { WhySpan } from "./spans.ts";
import { nameAfter, numberOf, reasonOf, type Step, stepOf, textOf } from "./step.ts";

const TOOL = "execute_tool ";
const AGENT = "invoke_agent ";
const WORKFLOW_STEP = "valet.workflow.step ";
const UNRESPONSIVE = "valet.agent.unresponsive";
/** How deep sub-agents are shown within each other; what is deeper counts for the innermost that is shown. */
const MAX_AROUND = 6;

/** The part of each span of a fixed name, and the attribute with its detail. */
const NAMED: Readonly<Record<string, readonly [name: PartName, detail?: string]>> = {
  "valet.agent.prepare": ["prepare"],
  "valet.agent.mcp_wait": ["prepare", "valet.mcp.server.name"],
  "valet.turn.finalize": ["finalize"],
  "valet.permission.wait": ["permission", "valet.permission.type"],
  "valet.question.wait": ["question"],
  "valet.child_session.spawn": ["child_session", "valet.child_session.id"],
  "valet.runner.opencode_start": ["agent_start"],
  "valet.runner.opencode_wait": ["agent_start"],
  "valet.runner.agent_warm_up": ["agent_start"],
};

/** Returns what a period of another job was spent on, for the job that sent it and waited. */
export type JobSegments = (job: Node, startUs: number, endUs: number) => Segment[];

/**
 * Returns what a turn's or an execution's time was spent on within a window.
 * @param root its span, with times by the object's clock
 * @param jobSegments covers the period of a job that a command sent
 */
export function turnSegments(root: Node, startUs: number, endUs: number, jobSegments: JobSegments): Segment[] {
  const unresponsive = takeOut(root, ({ span }) => span.name === UNRESPONSIVE);
  placeRequests(unresponsive.tree);
  const sent = takeJobs(unresponsive.tree);
  const calls = modelCalls(unresponsive.tree);
  const extents = new Map<Node, Extent>();
  const own = criticalPath(unresponsive.tree, startUs, endUs, [], aroundOf);
  const segments = own.flatMap((time) => {
    if (sent.has(time.node)) {
      const { node, around, ...period } = time;
      const inner = jobSegments(node, period.startUs, period.endUs);
      return inner.map((segment) => ({ ...segment, path: [...around, ...segment.path] }));
    }
    const call = calls.get(time.node);
    return call === undefined ? [segmentOf(time, extents)] : callSegments(time, call);
  });
  const away = unresponsive.taken
    .map((node) => ({ startUs: node.startUs, endUs: node.endUs, path: [stepOf("agent_unresponsive", node.span)] }))
    .sort((a, b) => a.startUs - b.startUs);
  return overlaid(segments, away);
}

/** Returns a tree without some spans and what is below them, and these spans. */
export function takeOut(root: Node, isTaken: (node: Node) => boolean): { tree: Node; taken: Node[] } {
  // Copying a large tree takes long, and few have such spans.
  if (!hasSome(root, isTaken)) return { tree: root, taken: [] };
  const taken: Node[] = [];
  const tree: Node = { ...root, children: [] };
  const left: [from: Node, to: Node][] = [[root, tree]];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const [from, to] = next;
    for (const child of from.children) {
      if (isTaken(child)) {
        taken.push(child);
        continue;
      }
      const copy: Node = { ...child, children: [] };
      to.children.push(copy);
      left.push([child, copy]);
    }
  }
  return { tree, taken };
}

function hasSome(root: Node, is: (node: Node) => boolean): boolean {
  const left = [root];
  for (let node = left.pop(); node !== undefined; node = left.pop()) {
    if (node !== root && is(node)) return true;
    for (const child of node.children) left.push(child);
  }
  return false;
}

/**
 * Makes jobs that commands sent leaves of the tree, below the command itself: a job outlives the request to the API that brought it,
 * and the time of the request is the command's.
 * @returns the jobs
 */
function takeJobs(root: Node): ReadonlySet<Node> {
  const jobs = new Set<Node>();
  const left: [node: Node, command: Node][] = [[root, root]];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const [node, command] = next;
    const { children } = node;
    const isLeft = (child: Node) => isJobSpan(child.span) || isApiRequest(child);
    // Most spans have neither.
    const all = children.some(isLeft) ? children.splice(0) : children;
    for (const child of all) {
      if (isJobSpan(child.span)) {
        const job: Node = { ...child, children: [] };
        jobs.add(job);
        command.children.push(job);
      } else if (isApiRequest(child)) left.push([child, command]);
      else {
        if (all !== children) children.push(child);
        left.push([child, child]);
      }
    }
  }
  return jobs;
}

const isApiRequest = ({ span }: Node) => span.kind === KINDS.SERVER && span.service === "valet-worker";

/** Puts requests to a person below the tool calls that they are about: such a call runs, and yet waits. */
function placeRequests(root: Node): void {
  const left = [root];
  for (let node = left.pop(); node !== undefined; node = left.pop()) {
    const { children } = node;
    if (children.some(({ span }) => isRequest(span.name))) {
      const tools = new Map(children.filter(({ span }) => !isRequest(span.name)).map((each) => [callIdOf(each), each]));
      const all = children.splice(0);
      for (const child of all) {
        const id = isRequest(child.span.name) ? callIdOf(child) : null;
        (id === null ? node : (tools.get(id) ?? node)).children.push(child);
      }
    }
    for (const child of children) left.push(child);
  }
}

const isRequest = (name: string) => name === "valet.permission.wait" || name === "valet.question.wait";

function callIdOf({ span }: Node): string | null {
  return isRequest(span.name) || span.name.startsWith(TOOL) ? textOf(span, "gen_ai.tool.call.id") : null;
}

/** Returns the levels around the children of a span. */
function aroundOf({ span, children }: Node, around: readonly Step[]): readonly Step[] {
  if (around.length >= MAX_AROUND) return around;
  if (span.name === "valet.compaction") return [...around, stepOf("compaction", span)];
  if (!span.name.startsWith(TOOL)) return around;
  const agent = children.find((child) => child.span.name.startsWith(AGENT))?.span;
  return agent === undefined ? around : [...around, stepOf("sub_agent", agent, nameAfter(AGENT, agent))];
}

/** When the first child begins, and when the last one ends. */
interface Extent {
  readonly firstUs: number;
  readonly lastUs: number;
}

function segmentOf(time: OwnTime, extents: Map<Node, Extent>): Segment {
  const { node, startUs, endUs, around } = time;
  const step = ownStep(time, extents);
  const inner = step.name === "compaction" ? [step, stepOf("agent", node.span, null, null)] : [step];
  return { startUs, endUs, path: [...around, ...inner] };
}

/** Returns what the part of a span's time is that none of its children explains. */
function ownStep({ node, startUs, endUs }: OwnTime, extents: Map<Node, Extent>): Step {
  const { span, children } = node;
  const [name, detail] = NAMED[span.name] ?? [];
  if (name !== undefined) return stepOf(name, span, detail === undefined ? null : textOf(span, detail));
  const tool = nameAfter(TOOL, span);
  if (tool !== null) return stepOf("tool", span, tool, reasonOf(span) ?? exitText(span));
  if (span.name === "valet.compaction") return stepOf("compaction", span);
  const step = nameAfter(WORKFLOW_STEP, span);
  if (step !== null && children.length === 0) return stepOf("command", span, step);
  // A dispatch stands for a turn that is unknown.
  if (span.name.endsWith(".dispatch")) return stepOf("unattributed", span, null, null);
  if (span.name !== "valet.turn" && step === null && span.name !== "valet.workflow.execute")
    return stepOf("agent", span, nameAfter(AGENT, span), null);
  if (children.length === 0) return stepOf(span.endMs === null ? "prepare" : "unattributed", span, null, null);
  const { firstUs, lastUs } = extents.get(node) ?? extentOf(node);
  extents.set(node, { firstUs, lastUs });
  if (endUs <= firstUs) return stepOf("prepare", span, null, null);
  return stepOf(startUs >= lastUs && span.endMs !== null ? "finalize" : "agent", span, null, null);
}

/** Returns the exit code of a tool's command that failed: the agent reads it, and the tool itself has not failed. */
function exitText(span: WhySpan): string | null {
  const code = numberOf(span, "process.exit.code");
  return code === null || code === 0 ? null : `exit code ${code}`;
}

function extentOf({ children }: Node): Extent {
  const [firstUs, lastUs] = children.reduce(
    ([first, last], child) => [Math.min(first, child.startUs), Math.max(last, child.endUs)],
    [Infinity, 0],
  );
  return { firstUs, lastUs };
}
