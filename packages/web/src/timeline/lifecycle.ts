/** The states of a session's sandbox over time, from the operations that changed it and the status of now. Pure. */
import type { Schemas } from "../api/client.ts";

/** An operation on the sandbox: the root span of a trace of its own. */
export interface Operation {
  readonly traceId: string;
  readonly spanId: string | undefined;
  readonly name: string;
  readonly startMs: number;
  /** `undefined` while it is open. */
  readonly endMs: number | undefined;
  /** `undefined` if it is not known how it ended. */
  readonly hasFailed: boolean | undefined;
}

/** The end of work whose runner was lost, epoch ms. */
export interface Seal {
  /** When the session ended it. */
  readonly endMs: number;
  /** When its runner was last heard. */
  readonly heardMs: number;
}

type LifeState = "starting" | "restoring" | "running" | "hibernating" | "hibernated" | "ending" | "lost" | "unknown";

export interface LifeStretch {
  readonly state: LifeState;
  readonly startMs: number;
  /** `undefined` if it lasts. */
  readonly endMs: number | undefined;
  /** The number of the sandbox, from 1; `undefined` if starts before it are not known. */
  readonly generation: number | undefined;
  readonly hasFailed: boolean;
  readonly traceId: string | undefined;
  readonly spanId: string | undefined;
}

const OPERATIONS: Readonly<Record<string, LifeState>> = {
  "valet.sandbox.spawn": "starting",
  "valet.sandbox.restore": "restoring",
  "valet.sandbox.hibernate": "hibernating",
  "valet.session.terminate": "ending",
};

/** Returns whether a root span's name is that of such an operation. */
export function isOperation(name: string | undefined): name is string {
  return name !== undefined && Object.hasOwn(OPERATIONS, name);
}

/** What each status says about the sandbox after the last operation; others are states of an operation. */
const RESTING: Partial<Readonly<Record<Schemas["SessionView"]["status"], LifeState>>> = {
  running: "running",
  hibernated: "hibernated",
  recovering: "lost",
};
/** With these there is no sandbox, and nothing to show. */
const WITHOUT: readonly Schemas["SessionView"]["status"][] = ["created", "terminated", "error"];

/**
 * Returns the stretches, in order.
 * @param operations in any order
 * @param seals the ends of lost work, in order of `endMs`
 */
export function lifecycleOf(
  operations: readonly Operation[],
  seals: readonly Seal[],
  session: Pick<Schemas["SessionView"], "status" | "generation" | "createdAt">,
): LifeStretch[] {
  const sorted = operations.toSorted((a, b) => a.startMs - b.startMs);
  const starts = sorted.filter(({ name }) => isStart(name)).length;
  const missing = Math.max(0, session.generation - starts);
  const stretches: LifeStretch[] = [];
  const add = (stretch: Partial<LifeStretch> & Pick<LifeStretch, "state" | "startMs" | "endMs">) => {
    if (stretch.endMs !== undefined && stretch.endMs < stretch.startMs) return;
    stretches.push({ generation: undefined, hasFailed: false, traceId: undefined, spanId: undefined, ...stretch });
  };
  const createdMs = Date.parse(session.createdAt);
  const firstMs = sorted[0]?.startMs;
  if (missing > 0 && firstMs !== undefined && createdMs < firstMs) {
    add({ state: "unknown", startMs: createdMs, endMs: firstMs });
  }
  let generation = missing;
  sorted.forEach((operation, index) => {
    const { name, startMs, endMs, traceId, spanId } = operation;
    if (isStart(name)) generation += 1;
    const hasFailed = operation.hasFailed === true;
    add({ state: OPERATIONS[name] as LifeState, startMs, endMs, generation, hasFailed, traceId, spanId });
    if (endMs === undefined) return;
    const next = sorted[index + 1];
    // Operations overlap while one takes the place of another.
    if (next !== undefined && next.startMs <= endMs) return;
    const untilMs = next?.startMs;
    const state = after(operation, next, session.status);
    if (state === undefined) return;
    if (state !== "running" || next === undefined || !isStart(next.name)) {
      add({ state, startMs: endMs, endMs: untilMs, generation });
      return;
    }
    // It ran, and then another one was started: it was lost in between, after its last sign of life.
    const own = seals.filter((each) => each.endMs > endMs && each.endMs <= next.startMs);
    const [seal] = own;
    // A turn's end is all that is known of some; others say when the runner was last heard.
    const heard = own.reduce((first, each) => Math.min(first, each.heardMs), Number.POSITIVE_INFINITY);
    const heardMs = seal === undefined ? endMs : Math.min(Math.max(heard, endMs), seal.endMs);
    if (seal !== undefined) add({ state: "running", startMs: endMs, endMs: heardMs, generation });
    add({ state: seal === undefined ? "unknown" : "lost", startMs: heardMs, endMs: untilMs, generation });
  });
  return stretches.filter(({ startMs, endMs }) => endMs === undefined || endMs > startMs);
}

/** Returns the state between an operation's end and the next operation. */
function after(
  { name, hasFailed }: Operation,
  next: Operation | undefined,
  status: Schemas["SessionView"]["status"],
): LifeState | undefined {
  if (next === undefined) return WITHOUT.includes(status) ? undefined : (RESTING[status] ?? "unknown");
  const state = OPERATIONS[name];
  if (state === "ending") return undefined;
  // A snapshot that failed leaves the sandbox as it was.
  if (state === "hibernating") return hasFailed === true ? "running" : "hibernated";
  return hasFailed === true ? undefined : "running";
}

function isStart(name: string): boolean {
  return name === "valet.sandbox.spawn" || name === "valet.sandbox.restore";
}

/** Returns the word for a state, as the lane shows it. */
export function lifeText({ state, generation, hasFailed }: LifeStretch): string {
  if (hasFailed) return `${state}, failed`;
  if (state === "running" && generation !== undefined) return `running, generation ${generation}`;
  return state === "unknown" ? "not known" : state;
}
