/**
 * Limits in time that lie within one another, in ms. What is inside is clearly shorter than what is around it, so that the part
 * that knows most gives up first, and says why with an error type of its own. A limit that is set at run time (the object's are,
 * by `VALET_…_MS`) is told to whoever works within it: the runner in its configuration, the broker in a header.
 */

/** The limit of something that happens within something else: a fifth is left for telling how it went. */
export function innerLimit(outerMs: number): number {
  return Math.floor(outerMs * 0.8);
}

export const LIMITS = {
  /** A command of `valet` waits for a session to be where it is wanted, or for a short turn. */
  commandWaitMs: 10 * 60_000,
  /** From asking for a sandbox to its runner reporting idle: `runner_never_ready`. */
  startMs: 5 * 60_000,
  /** One call of the broker, but for a snapshot: `broker_timeout`. */
  brokerCallMs: 2 * 60_000,
  /** A call for a snapshot, for which many files are copied: `broker_timeout`. */
  snapshotMs: 6 * 60_000,
  /** Killed processes are gone, or the broker says that they are not: `terminate_failed`. */
  killMs: 10_000,
  /** An engine elsewhere has ended a sandbox, likewise. */
  remoteKillMs: 30_000,

  /** From losing the link to the runner to giving it up: `runner_lost`. */
  graceMs: 30_000,
  /** The runner's longest wait before it connects again, and for that connection. */
  reconnectDelayMs: 10_000,
  connectMs: 10_000,
  /** Without a sign of life, before the link counts as lost; the runner gives one so often. */
  linkSilenceMs: 90_000,
  heartbeatMs: 15_000,

  /** From asking the runner to stop to going on without it. */
  stopMs: 15_000,
  /** From asking a sandbox's processes to end to killing them. */
  processGraceMs: 5_000,
  /** The runner's stop, of which its turns and its agent have a share each. */
  runnerStopMs: 4_000,
  agentStopMs: 1_600,
  /** Of the agent's: it is asked to end what its tools started, then to end. */
  agentDisposeMs: 750,
  agentEndMs: 500,

  /** From asking the runner to abort an attempt to going on without it; the agent has less. */
  abortMs: 20_000,
  agentAbortMs: 5_000,

  /** A session that waits for its turn asks for its place this often; it counts as waiting for longer without. */
  capacityAskMs: 60_000,
  startLeaseMs: 2 * 60_000,
  /** A holder whose lease has expired is asked again, or a report made again, after this long. */
  leaseRetryMs: 20_000,
  reportRetryMs: 15_000,
  /** One call between a session and the capacity object; a session that is to sleep asks its runner meanwhile. */
  capacityCallMs: 10_000,
  backgroundCheckMs: 3_000,

  /** An agent's tool asks the runner, which asks the object, which asks the other session's. */
  toolCallMs: 90_000,
  childRequestMs: 60_000,
  peerCallMs: 30_000,
} as const;

/** What may follow one another (left) within what (right). */
export const NESTED: readonly (readonly [inside: readonly (keyof typeof LIMITS)[], around: keyof typeof LIMITS])[] = [
  [["startMs"], "commandWaitMs"],
  // A hibernate, whole.
  [["snapshotMs", "stopMs", "brokerCallMs"], "commandWaitMs"],
  [["brokerCallMs"], "startMs"],
  [["processGraceMs", "killMs"], "brokerCallMs"],
  [["remoteKillMs"], "brokerCallMs"],
  [["reconnectDelayMs", "connectMs"], "graceMs"],
  [["heartbeatMs", "heartbeatMs"], "linkSilenceMs"],
  [["runnerStopMs"], "processGraceMs"],
  [["processGraceMs"], "stopMs"],
  [["agentStopMs", "agentStopMs"], "runnerStopMs"],
  [["agentDisposeMs", "agentEndMs"], "agentStopMs"],
  [["agentAbortMs"], "abortMs"],
  [["capacityAskMs"], "startLeaseMs"],
  [["capacityCallMs"], "leaseRetryMs"],
  [["capacityCallMs"], "reportRetryMs"],
  [["backgroundCheckMs"], "capacityCallMs"],
  [["childRequestMs"], "toolCallMs"],
  [["peerCallMs"], "childRequestMs"],
];

/** How long the parts of a runner's start may take, one after the other, within what is left of it. */
export function startShares(leftMs: number): { readonly gitMs: number; readonly agentMs: number } {
  const gitMs = innerLimit(leftMs);
  return { gitMs, agentMs: innerLimit(leftMs - gitMs) };
}
