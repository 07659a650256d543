/**
 * What the queue does next. Pure: from the messages that wait and the state of the session to the dispatches that are due
 * and the reasons of everything that goes on waiting.
 */
import type { SessionStatus } from "@valet/shared/protocol/session-view";
import type { MessageSource, QueueMode, QueueReason } from "@valet/shared/spans";

/** A message that waits. */
export interface WaitingJob {
  readonly id: string;
  /** Order of acceptance. */
  readonly seq: number;
  readonly channel: string;
  readonly mode: QueueMode;
  readonly source: MessageSource;
  /** Whether the session was created with it. */
  readonly initial: boolean;
  /** When it may be dispatched: in the mode collect once no others are waited for, or after the runner refused it. Epoch ms. */
  readonly notBeforeMs: number;
  readonly waitingSinceMs: number;
  /** Of content and attachments, as they go over the link. */
  readonly sizeBytes: number;
  readonly attachments: number;
  /** The models that it asks for itself, as text; empty where it asks for none. What asks for others is no part of its batch. */
  readonly asksFor: string;
}

export interface QueueConditions {
  readonly state: SessionStatus;
  /** Whether the runner is there and takes work. */
  readonly runnerReady: boolean;
  /** Whether the session stands in line for a sandbox, because there are as many as there may be. */
  readonly isInLine: boolean;
  /** Channels with an attempt in flight. */
  readonly busy: ReadonlySet<string>;
}

export interface BatchLimits {
  readonly messages: number;
  readonly bytes: number;
  readonly attachments: number;
  /** However many follow, a batch closes this long after its first message. */
  readonly collectMaxMs: number;
}

export interface QueuePlan {
  /** At most one for each channel. */
  readonly dispatches: readonly { readonly channel: string; readonly messages: readonly WaitingJob[] }[];
  /** Of every message that goes on waiting. */
  readonly reasons: ReadonlyMap<string, QueueReason>;
  /** When the next message or batch may be dispatched that nothing but time keeps back. */
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
          reasons.set(id, mode === "collect" ? "collect_debounce" : "runner_busy");
        rest = messages.slice(batch.messages.length);
      }
    }
    for (const message of rest) reasons.set(message.id, reasonFor(message, blocked ?? "runner_busy"));
  }
  return { dispatches, reasons, dueMs };
}

/** In each channel, those that steer come first; otherwise it is first come, first served. */
function byChannel(waiting: readonly WaitingJob[]): Map<string, WaitingJob[]> {
  const rank = ({ mode }: WaitingJob) => (mode === "steer" ? 0 : 1);
  return Map.groupBy(
    waiting.toSorted((a, b) => rank(a) - rank(b) || a.seq - b.seq),
    ({ channel }) => channel,
  );
}

/** The head of a channel's queue; where that collects, with all that follow it and collect too. */
function nextBatch(queue: readonly WaitingJob[], limits: BatchLimits): { messages: WaitingJob[]; dueMs: number } {
  const [head] = queue as [WaitingJob, ...WaitingJob[]];
  if (head.mode !== "collect") return { messages: [head], dueMs: head.notBeforeMs };
  const messages: WaitingJob[] = [];
  let [bytes, attachments, full] = [0, 0, false];
  for (const message of queue) {
    if (message.mode !== "collect" || message.asksFor !== head.asksFor) break;
    bytes += message.sizeBytes;
    attachments += message.attachments;
    full = messages.length >= limits.messages || bytes > limits.bytes || attachments > limits.attachments;
    if (full && messages.length > 0) break;
    messages.push(message);
  }
  const debounceMs = Math.max(...messages.map(({ notBeforeMs }) => notBeforeMs));
  return { messages, dueMs: full ? 0 : Math.min(debounceMs, head.waitingSinceMs + limits.collectMaxMs) };
}

/** What keeps a whole channel waiting. */
function blockedBy(conditions: QueueConditions, channel: string): QueueReason | undefined {
  const { state, runnerReady, busy, isInLine } = conditions;
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
      return "runner_disconnected";
    default:
      return "sandbox_starting";
  }
}

function reasonFor({ initial, source }: WaitingJob, reason: QueueReason): QueueReason {
  if (initial && reason === "sandbox_starting") return "initial_prompt";
  return source === "system" && reason === "runner_busy" ? "system_message" : reason;
}
