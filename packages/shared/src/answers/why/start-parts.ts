/** What the time of a sandbox's start, restore or hibernate was spent on. Pure. */
import type { PartName } from "../../protocol/why.ts";
import { covering, criticalPath, type OwnTime, overlaid, type Segment } from "./critical-path.ts";
import { moved, type Node, OPEN_US, shiftInto } from "./forest.ts";
import { type Step, stepOf, textOf } from "./step.ts";
import { takeOut } from "./turn-parts.ts";

const HIBERNATE = "valet.sandbox.hibernate";
const CREATE = "valet.sandbox.create";
const BOOTSTRAP = "valet.runner.bootstrap";
const AGENT_START = "valet.runner.opencode_start";
const WARM_UP = "valet.runner.agent_warm_up";
const SETUP = "valet.runner.git_setup";

/** What each operation on a sandbox is called in the detail of the wait for it. */
const OPERATIONS: Readonly<Record<string, string>> = {
  "valet.sandbox.spawn": "start",
  "valet.sandbox.restore": "restore",
  [HIBERNATE]: "hibernate",
};

const NAMED: Readonly<Record<string, PartName>> = {
  "valet.capacity.wait": "queue.capacity",
  [CREATE]: "sandbox.broker",
  "valet.sandbox.copy": "sandbox.copy",
  "valet.sandbox.prepare": "sandbox.broker",
  "valet.sandbox.process_start": "sandbox.broker",
  [BOOTSTRAP]: "sandbox.boot",
  "valet.runner.connect": "sandbox.boot",
  [AGENT_START]: "sandbox.agent_start",
  "valet.runner.repository_config": "sandbox.agent_start",
  [WARM_UP]: "sandbox.warm_up",
  [SETUP]: "sandbox.clone",
  "valet.runner.git_clone": "sandbox.clone",
  "valet.runner.git_checkout": "sandbox.clone",
  "valet.runner.git_submodules": "sandbox.clone",
  "valet.runner.git_config": "sandbox.clone",
};

/** Whether a span is an operation on a sandbox for which a job may wait. */
export function isSandboxOperation({ span }: Node): boolean {
  return span.name in OPERATIONS;
}

/** Returns the level of a wait for an operation. Its cause is why the operation failed, or else why it began. */
export function operationStep({ span }: Node): Step {
  const began = textOf(span, "valet.restore.reason") ?? textOf(span, "valet.spawn.reason");
  const step = stepOf("queue.sandbox", span, OPERATIONS[span.name] ?? null);
  return { ...step, cause: step.cause ?? began ?? textOf(span, "valet.hibernate.reason") };
}

/** Returns what an operation's time was spent on within a window, which it covers. */
export function operationSegments(root: Node, startUs: number, endUs: number): Segment[] {
  const rest = [stepOf(root.span.name === HIBERNATE ? "sandbox.hibernate" : "sandbox.other", root.span, null, null)];
  if (root.span.name === HIBERNATE) return covering([], startUs, endUs, rest);
  // Nothing waits for a warm-up; it explains only what nothing else does.
  const waiting = withWorkspaceWait(untilFailure(onOneClock(root)));
  const { tree, taken: warmUps } = takeOut(waiting, ({ span }) => span.name === WARM_UP);
  const own = criticalPath(tree, startUs, endUs, [], (_node, around) => around);
  const segments = own.map((time): Segment => ({ ...periodOf(time), path: [ownStep(time, tree)] }));
  const fill = warmUps
    .map((node): Segment => ({ ...node, path: [stepOf("sandbox.warm_up", node.span)] }))
    .sort((a, b) => a.startUs - b.startUs);
  const isFree = ({ path }: Segment) => path[0]?.name === "sandbox.boot" || path[0]?.name === "sandbox.other";
  return covering(overlaid(segments, fill, isFree), startUs, endUs, rest);
}

const periodOf = ({ startUs, endUs }: OwnTime) => ({ startUs, endUs });

/** Returns the tree with the broker's spans moved into the calls that they serve, and the runner's into the operation. */
function onOneClock(root: Node): Node {
  const { startUs: operationStart, endUs: operationEnd } = root;
  const firstCreate = Math.min(...root.children.flatMap((child) => (child.span.name === CREATE ? child.startUs : [])));
  const children = root.children.map((child): Node => {
    if (child.span.name === CREATE)
      return { ...child, children: child.children.map((served) => servedWithin(served, child)) };
    if (!/^valet\.runner\./.test(child.span.name)) return child;
    const earliestUs = firstCreate === Infinity ? operationStart : Math.min(firstCreate, operationEnd);
    const byUs = shiftInto(child, { earliestUs, latestUs: operationEnd, endUs: operationEnd });
    // The operation ends as the runner reports that it is ready. So of a clock that is wrong, the end says most.
    const isOver = child.endUs !== OPEN_US && operationEnd !== OPEN_US;
    return moved(
      child,
      byUs === 0 || !isOver ? byUs : Math.max(operationEnd - child.endUs, earliestUs - child.startUs),
    );
  });
  return { ...root, children };
}

function servedWithin(served: Node, { startUs, endUs }: Node): Node {
  return moved(served, shiftInto(served, { earliestUs: startUs, latestUs: endUs, endUs }));
}

/** The steps of a start are three deep. */
const MAX_DEPTH = 10;

/**
 * Returns the tree with the steps of a failed start cut where the step ended that it failed of: what ran beside it, and was ended
 * because of it, is not what the start waited for.
 */
function untilFailure(node: Node, depth = 0): Node {
  if (depth > MAX_DEPTH) return node;
  const error = textOf(node.span, "error.type");
  const failed = new Set(
    error === null ? [] : node.children.filter(({ span }) => textOf(span, "error.type") === error),
  );
  const lastUs = [...failed].reduce((last, { endUs }) => Math.max(last, endUs), 0);
  const children = node.children.map((child): Node => {
    if (failed.has(child)) return untilFailure(child, depth + 1);
    return failed.size > 0 && child.endUs >= lastUs ? { ...child, endUs: Math.max(child.startUs, lastUs - 1) } : child;
  });
  return { ...node, children };
}

/**
 * Returns the tree with the repository's setup also below the agent's start that waited for it. Only an agent whose process was up
 * before its workspace warms up its process, so that warm-up says that the rest of its start waited for the setup.
 */
function withWorkspaceWait(root: Node): Node {
  const children = root.children.map((child) => (child.span.name === BOOTSTRAP ? withSetupBelowStart(child) : child));
  return { ...root, children };
}

function withSetupBelowStart(bootstrap: Node): Node {
  const setup = bootstrap.children.find(({ span }) => span.name === SETUP);
  // One of each: a sandbox may make up any number of them.
  const waited = bootstrap.children.find(
    ({ span, children }) => span.name === AGENT_START && children.some(isOfProcess),
  );
  if (setup === undefined || waited === undefined) return bootstrap;
  const start: Node = { ...waited, children: [...waited.children, setup] };
  return { ...bootstrap, children: bootstrap.children.map((child) => (child === waited ? start : child)) };
}

const isOfProcess = ({ span }: Node) => span.name === WARM_UP && textOf(span, "valet.warm_up.scope") === "process";

/** Returns what the part of a span's time is that none of its children explains. */
function ownStep({ node, startUs }: OwnTime, root: Node): Step {
  const { span } = node;
  if (node === root) return stepOf(isBooting(root, startUs) ? "sandbox.boot" : "sandbox.other", span, null, null);
  const name = NAMED[span.name] ?? (span.kind === SERVER ? "sandbox.broker" : "sandbox.other");
  return stepOf(name, span);
}

const SERVER = 2;

/** Whether a sandbox has been created by this time, and its runner has not begun. */
function isBooting({ children }: Node, atUs: number): boolean {
  const created = children.filter(({ span, endUs }) => span.name === CREATE && endUs <= atUs).at(-1);
  const bootstrap = children.find(({ span }) => span.name === BOOTSTRAP);
  return created?.span.outcome === "ok" && atUs < (bootstrap?.startUs ?? OPEN_US);
}
