/** Facts of a session for tests: an idle one, to which a test adds what it is about. */
import { typicalOf } from "./durations.ts";
import type { Run, SessionFacts, Step } from "./facts.ts";

/** When the tests' things began, epoch ms. */
export const T0 = 1_800_000_000_000;

export const SAMPLE_FACTS: SessionFacts = {
  sessionId: "ses_1",
  status: "running",
  statusMs: T0,
  failure: null,
  requests: [],
  runs: [],
  queue: null,
  operation: null,
  line: null,
  link: { isUp: true, heardMs: T0 },
  sleepProblem: null,
  answeredMs: 0,
  knowsSteps: true,
  limits: {
    linkSilenceMs: 90_000,
    heartbeatMs: 15_000,
    graceMs: 30_000,
    acceptMs: 20_000,
    stuckTurnMs: 600_000,
    maxTurnMs: 6 * 3_600_000,
    providerSilenceMs: 300_000,
  },
};

export const SAMPLE_RUN: Run = {
  kind: "message",
  jobId: "msg_1",
  channel: "main",
  state: "accepted",
  dispatchedMs: T0,
  signMs: T0,
  isWaitingForPerson: false,
  isStopping: false,
  steps: [],
};

/** Returns a step that began at {@link T0}. */
export function sampleStep(kind: Step["kind"], name: string, more: Partial<Step> = {}): Step {
  return {
    kind,
    name,
    sinceMs: T0,
    askedMs: null,
    heardMs: null,
    byteMs: null,
    timeoutMs: null,
    afterError: null,
    typical: typicalOf(kind, name),
    ...more,
  };
}
