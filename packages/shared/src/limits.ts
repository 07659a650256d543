/**
 * Nested timeouts, in ms. An inner one is clearly shorter than the outer one, so that the component that knows the cause gives up
 * first and reports its own error type. Timeouts that are set at run time (the object's, by `VALET_…_MS`) are passed on: to the
 * runner in its configuration, to the broker in a header.
 */

/** Returns the timeout of work within an outer timeout: a fifth is left to report the result. */
export function innerLimit(outerMs: number): number {
  return Math.floor(outerMs * 0.8);
}

export const LIMITS = {
  /** How long a command of `valet` waits for a session's state, or for a short turn. */
  commandWaitMs: 10 * 60_000,
  /** From requesting a sandbox until its runner is ready: `runner_never_ready`. */
  startMs: 5 * 60_000,
  /** One call of the broker, except for a snapshot: `broker_timeout`. */
  brokerCallMs: 2 * 60_000,
  /** A call for a snapshot, which copies many files: `broker_timeout`. */
  snapshotMs: 6 * 60_000,
  /** From killing processes until they are gone; then the broker answers `terminate_failed`. */
  killMs: 10_000,
  /** From asking a remote engine to end a sandbox until it is gone; then the broker answers `terminate_failed`. */
  remoteKillMs: 30_000,

  /** The grace period, from losing the link to the runner until the runner counts as lost: `runner_lost`. */
  graceMs: 30_000,
  /** The runner's longest delay before it connects again, and the timeout of that connection. */
  reconnectDelayMs: 10_000,
  connectMs: 10_000,
  /** After this silence the link counts as lost; and the interval of the runner's heartbeats. */
  linkSilenceMs: 90_000,
  heartbeatMs: 15_000,

  /** From asking the runner to stop until the object continues without it. */
  stopMs: 15_000,
  /** From SIGTERM to SIGKILL of a sandbox's processes. */
  processGraceMs: 5_000,
  /** The runner's shutdown, in which its turns and its agent have a share each. */
  runnerStopMs: 4_000,
  agentStopMs: 1_600,
  /** Parts of the agent's share: to end the processes of its tools, then to end itself. */
  agentDisposeMs: 750,
  agentEndMs: 500,

  /**
   * A watchdog that notices so much more time than it expected has stood still itself, with its machine perhaps, which slept: that time was
   * no silence of anybody.
   */
  standstillMs: 10_000,

  /** From asking the runner to abort an attempt until the object continues without it; the agent has less. */
  abortMs: 20_000,
  agentAbortMs: 5_000,

  /** A turn that hears nothing for this long checks the agent's health; one request, and all of them until it counts as hung. */
  agentSilenceMs: 12_000,
  agentHealthMs: 4_000,
  agentHungMs: 20_000,
  /** A provider's stream may bring no event for this long; then the call is tried again. Bun's own limit for an answer to begin. */
  providerSilenceMs: 5 * 60_000,
  /**
   * Before each model call the agent asks the runner for a permit. It waits this long only if the runner has begun to refuse calls. The
   * runner may take `callCatchUpMs` of it to apply the agent's earlier events.
   */
  callPermitMs: 5_000,
  callCatchUpMs: 3_000,
  /** What a hook in the agent may wait for: then the agent goes on without. */
  hookMs: 250,
  /**
   * How long the runner waits, after OpenCode's busy status, for the plugin's report that the request has left. The report usually takes
   * 50 ms. Two hooks may wait before it, and a busy machine needs longer.
   */
  requestReportMs: 2_000,

  /** How often a session that waits for a slot asks for its place; and how long it counts as waiting without asking. */
  capacityAskMs: 60_000,
  startLeaseMs: 2 * 60_000,
  /** The delay before the capacity object asks the holder of an expired lease again, and before a session repeats a report. */
  leaseRetryMs: 20_000,
  reportRetryMs: 15_000,
  /** One call between a session and the capacity object; within it, a session that may hibernate asks its runner. */
  capacityCallMs: 10_000,
  backgroundCheckMs: 3_000,

  /** A tool of the agent calls the runner, which calls the object, which calls the other session's object. */
  toolCallMs: 90_000,
  childRequestMs: 60_000,
  peerCallMs: 30_000,
} as const;

/** Which timeouts (left), one after the other, must fit into which one (right). */
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
  [["agentHealthMs", "agentHealthMs", "agentHealthMs"], "agentHungMs"],
  // A standstill that is too short to be noticed counts as silence, and is no hang.
  [["standstillMs"], "agentHungMs"],
  [["providerSilenceMs"], "commandWaitMs"],
  [["callCatchUpMs"], "callPermitMs"],
  [["hookMs"], "callCatchUpMs"],
  [["hookMs", "hookMs"], "requestReportMs"],
  [["agentSilenceMs", "agentHungMs", "agentHealthMs"], "commandWaitMs"],
  [["capacityAskMs"], "startLeaseMs"],
  [["capacityCallMs"], "leaseRetryMs"],
  [["capacityCallMs"], "reportRetryMs"],
  [["backgroundCheckMs"], "capacityCallMs"],
  [["childRequestMs"], "toolCallMs"],
  [["peerCallMs"], "childRequestMs"],
];

/**
 * Returns the limits that follow from how long a turn may be silent, in ms. The runner ends a turn after `runnerMs` without an
 * event of the agent; while there are events, it says so every `signMs`. The object ends a turn after `objectMs` without a sign,
 * in case the runner itself is stuck; to save writes, it renews that limit only when it has become shorter by `slackMs`.
 *
 * The limits of a hanging agent (`silenceMs`, `healthMs`, `hungMs`) and of its abort (`abortMs`) are those of {@link LIMITS}, and
 * shorter where a turn may be silent for less than they take: a hang is found, with its own error type, before the turn counts as
 * stuck.
 */
export function stuckLimits(stuckTurnMs: number) {
  const { agentSilenceMs, agentHealthMs, agentHungMs, agentAbortMs } = LIMITS;
  // The last request may begin just before the agent counts as hung.
  const share = Math.min(1, innerLimit(stuckTurnMs) / (agentSilenceMs + agentHungMs + agentHealthMs));
  return {
    signMs: stuckTurnMs / 4,
    runnerMs: stuckTurnMs,
    objectMs: 2 * stuckTurnMs,
    slackMs: stuckTurnMs / 10,
    silenceMs: Math.floor(share * agentSilenceMs),
    healthMs: Math.floor(share * agentHealthMs),
    hungMs: Math.floor(share * agentHungMs),
    abortMs: Math.min(agentAbortMs, stuckTurnMs / 4),
  } as const;
}

/**
 * Returns the timeouts of the two parts of a runner's start, within what is left of it. Both begin at once. The agent reads the
 * repository once that is set up, so that its own timeout ends later.
 */
export function startShares(leftMs: number): { readonly gitMs: number; readonly agentMs: number } {
  const gitMs = innerLimit(leftMs);
  return { gitMs, agentMs: gitMs + innerLimit(leftMs - gitMs) };
}
