/**
 * Decides what the queue does next: given the queued jobs and the session's state, which jobs are dispatched now, and why each of
 * the others waits. Pure.
 */
import type { SessionStatus } from "@valet/shared/protocol/session-view";
import type { MessageSource, QueueMode, QueueReason } from "@valet/shared/spans";

/** What a mode means for a message. */
interface ModeRules {
  /** Whether it goes before what waits in its channel without this mark. */
  readonly goesFirst: boolean;
  /** Whether it takes the place of what runs in its channel. */
  readonly interrupts: boolean;
  /** Whether it waits for others of its mode, and is dispatched with them as one batch. */
  readonly isCollected: boolean;
}

/** The modes. Everything that differs between them is read here, so that a mode which is added says all of it. */
export const MODES: Readonly<Record<QueueMode, ModeRules>> = {
  followup: { goesFirst: false, interrupts: false, isCollected: false },
  steer: { goesFirst: true, interrupts: true, isCollected: false },
  collect: { goesFirst: false, interrupts: false, isCollected: true },
};

/** A queued job. */
export interface WaitingJob {
  readonly id: string;
  /** Order of acceptance. */
  readonly seq: number;
  readonly channel: string;
  readonly mode: QueueMode;
  readonly source: MessageSource;
  /** Whether the session was created with it. */
  readonly initial: boolean;
  /** Not before this time, epoch ms: after the debounce of a mode that collects, or after a refusal by the runner. */
  readonly notBeforeMs: number;
  readonly waitingSinceMs: number;
  /** The size of content and attachments as they are sent over the link. */
  readonly sizeBytes: number;
  readonly attachments: number;
  /** The models that it names, as text; empty if it names none. A batch holds only messages that name the same models. */
  readonly asksFor: string;
}

export interface QueueConditions {
  readonly state: SessionStatus;
  /** Whether a runner has ever been ready. */
  readonly wasReady: boolean;
  /** Whether the runner is connected and accepts work. */
  readonly runnerReady: boolean;
  /** Whether the session waits in line for a sandbox, because the host is at its limit. */
  readonly isInLine: boolean;
  /** Channels with an attempt in flight. */
  readonly busy: ReadonlySet<string>;
}

export interface BatchLimits {
  readonly messages: number;
  readonly bytes: number;
  readonly attachments: number;
  /** A batch closes at the latest this long after its first message. */
  readonly collectMaxMs: number;
}

export interface QueuePlan {
  /** At most one for each channel. */
  readonly dispatches: readonly { readonly channel: string; readonly messages: readonly WaitingJob[] }[];
  /** Why each of the other jobs waits. */
  readonly reasons: ReadonlyMap<string, QueueReason>;
  /** When the next job or batch is due that only waits for its time, epoch ms. */
  readonly dueMs: number | undefined;
}

export function planQueue(
  waiting: readonly WaitingJob[],
  conditions: QueueConditions,
  limits: BatchLimits,
  nowMs: number,
): QueuePlan {
  const dispatches: QueuePlan["dispatches"][number][] = [];
  const reasons = new Map<string, QueueReason>();
  let dueMs: number | undefined;
  for (const [channel, messages] of byChannel(waiting)) {
    const blocked = blockedBy(conditions, channel);
    let rest: readonly WaitingJob[] = messages;
    if (blocked === undefined) {
      const batch = nextBatch(messages, limits);
      if (batch.dueMs <= nowMs) {
        dispatches.push({ channel, messages: batch.messages });
        rest = messages.slice(batch.messages.length);
      } else {
        dueMs = Math.min(dueMs ?? batch.dueMs, batch.dueMs);
        for (const { id, mode } of batch.messages)
          reasons.set(id, MODES[mode].isCollected ? "collect_debounce" : "runner_busy");
        rest = messages.slice(batch.messages.length);
      }
    }
    for (const message of rest) reasons.set(message.id, reasonFor(message, blocked ?? "runner_busy"));
  }
  return { dispatches, reasons, dueMs };
}

/** Groups jobs by channel: first those whose mode says so, then in order of acceptance. */
function byChannel(waiting: readonly WaitingJob[]): Map<string, WaitingJob[]> {
  const rank = ({ mode }: WaitingJob) => (MODES[mode].goesFirst ? 0 : 1);
  return Map.groupBy(
    waiting.toSorted((a, b) => rank(a) - rank(b) || a.seq - b.seq),
    ({ channel }) => channel,
  );
}

/** Returns the head of a channel's queue; of a mode that collects, with the messages that follow it in the same mode. */
function nextBatch(queue: readonly WaitingJob[], limits: BatchLimits): { messages: WaitingJob[]; dueMs: number } {
  const [head] = queue as [WaitingJob, ...WaitingJob[]];
  if (!MODES[head.mode].isCollected) return { messages: [head], dueMs: head.notBeforeMs };
  const messages: WaitingJob[] = [];
  let [bytes, attachments, full] = [0, 0, false];
  for (const message of queue) {
    if (message.mode !== head.mode || message.asksFor !== head.asksFor) break;
    bytes += message.sizeBytes;
    attachments += message.attachments;
    full = messages.length >= limits.messages || bytes > limits.bytes || attachments > limits.attachments;
    if (full && messages.length > 0) break;
    messages.push(message);
  }
  const debounceMs = Math.max(...messages.map(({ notBeforeMs }) => notBeforeMs));
  return { messages, dueMs: full ? 0 : Math.min(debounceMs, head.waitingSinceMs + limits.collectMaxMs) };
}

/** Returns why a whole channel waits; `undefined` if it does not. */
function blockedBy(conditions: QueueConditions, channel: string): QueueReason | undefined {
  const { state, wasReady, runnerReady, busy, isInLine } = conditions;
  if (isInLine) return "capacity";
  switch (state) {
    case "running":
      if (!runnerReady) return "runner_disconnected";
      return busy.has(channel) ? "runner_busy" : undefined;
    case "hibernating":
    case "hibernated":
      return "sandbox_hibernated";
    case "restoring":
      return "sandbox_restoring";
    case "recovering":
      return wasReady ? "runner_disconnected" : "sandbox_starting";
    default:
      return "sandbox_starting";
  }
}

function reasonFor({ initial, source }: WaitingJob, reason: QueueReason): QueueReason {
  if (initial && reason === "sandbox_starting") return "initial_prompt";
  return source === "system" && reason === "runner_busy" ? "system_message" : reason;
}
