/** What a session does now, for tests: a model is quiet beside a tool. */
import type { NowView } from "@valet/shared/protocol/now";

export const T0 = "2026-01-01T00:00:00.000Z";
const AT = "2026-01-01T00:01:40.000Z";
export const VERDICT = {
  state: "quiet",
  since: T0,
  why: "The model `m` has not begun its answer. More than 1 m is unusual.",
  nextStep: "Watch whether it continues; if not, abort it and send the message again.",
  command: "valet watch ses_a",
  rule: "step_quiet",
  threshold_ms: 60_000,
  value_ms: 100_000,
} as const;
const STEP = { heardAt: null, lastByteAt: null, timeout_ms: null, typical_p99_ms: 20_000, typical_samples: 0 } as const;

export const NOW: NowView = {
  sessionId: "ses_a",
  at: AT,
  title: "Fix the build",
  status: "running",
  verdict: VERDICT,
  running: [
    {
      id: "msg_1",
      kind: "message",
      channel: "main",
      attempt: 1,
      isAccepted: true,
      isStopping: false,
      dispatchedAt: T0,
      age_ms: 100_000,
      cost_usd: 0.5,
      isCostPartial: false,
      steps: [
        { ...STEP, kind: "model", name: "m", since: T0, age_ms: 100_000, lastByteAt: "2026-01-01T00:01:39.000Z" },
        { ...STEP, kind: "tool", name: "bash", since: "2026-01-01T00:01:00.000Z", age_ms: 40_000, timeout_ms: 120_000 },
      ],
    },
  ],
  queue: [{ id: "msg_2", kind: "message", channel: "other", reason: "runner_busy", since: T0, wait_ms: 100_000 }],
  queueLength: 3,
  capacityPlace: null,
  start: null,
  runnerHeardAt: AT,
  permissions: [],
  questions: [],
  cost_usd: 0.75,
  isCostPartial: false,
};
