// The verdict: each state by an example, and what holds for all facts.
import fc from "fast-check";
import { expect, test } from "vitest";
import { SessionStatus } from "../../protocol/session-view.ts";
import { VERDICT_RULES, VERDICT_STATES, type VerdictRule, VerdictView } from "../../protocol/verdict.ts";
import { QUEUE_REASONS } from "../../spans.ts";
import { typicalOf } from "./durations.ts";
import type { Run, SessionFacts, Step } from "./facts.ts";
import { judge, nextChangeMs, TOOL_ENDING_MS } from "./judge.ts";
import { SAMPLE_FACTS, SAMPLE_RUN, sampleStep, T0 } from "./sample-facts.ts";
import { agedVerdict, verdictOf } from "./verdict.ts";
import { whyWithoutContent } from "./without-content.ts";

const working = (steps: readonly Step[], run: Partial<Run> = {}, more: Partial<SessionFacts> = {}): SessionFacts => ({
  ...SAMPLE_FACTS,
  runs: [{ ...SAMPLE_RUN, ...run, steps }],
  ...more,
});
/** The verdict some time after everything began; the runner's heartbeats have arrived. */
const after = (facts: SessionFacts, ms: number) => {
  const { link } = facts;
  const heardMs = link?.heardMs === T0 ? T0 + ms : (link?.heardMs ?? 0);
  return verdictOf({ ...facts, link: link && { ...link, heardMs } }, T0 + ms);
};

test("a model that says nothing is quiet after three times the default, and then stuck", () => {
  const facts = working([sampleStep("model", "gpt-5")]);
  expect(after(facts, 59_999)).toMatchObject({ state: "working", rule: "work_running" });
  expect(after(facts, 60_000)).toEqual({
    state: "quiet",
    since: new Date(T0).toISOString(),
    why: "The model `gpt-5` has not begun its answer. More than 1 m is unusual.",
    nextStep: "Watch whether it continues; if not, abort it and send the message again.",
    command: "valet watch ses_1",
    rule: "step_quiet",
    threshold_ms: 60_000,
    value_ms: 60_000,
  });
  expect(after(facts, 300_000)).toMatchObject({
    state: "stuck",
    rule: "model_silent",
    threshold_ms: 300_000,
    command: "valet abort ses_1",
  });
});

test("what was heard counts, but not the bytes that only keep a connection open", () => {
  const text = sampleStep("model", "m", { heardMs: T0 + 30_000, byteMs: T0 + 90_000 });
  expect(after(working([text]), 60_000).state).toBe("working");
  const { state, since, why } = after(working([text]), 100_000);
  expect({ state, since }).toEqual({ state: "quiet", since: new Date(T0 + 30_000).toISOString() });
  expect(why).toBe(
    "The model `m` has stopped in the middle of its answer; its provider only keeps the connection open. More than 1 m is unusual.",
  );
});

test("the owner's own steps set the threshold once there are twenty, and it is at least 30 s", () => {
  const slow = typicalOf("tool", "deploy", Array(20).fill(50_000));
  const quick = typicalOf("tool", "deploy", Array(200).fill(100));
  const few = typicalOf("tool", "deploy", Array(19).fill(500_000));
  expect([slow, quick, few].map(({ p99Ms, samples }) => [p99Ms, samples])).toEqual([
    [50_000, 20],
    [100, 200],
    [20_000, 0],
  ]);
  const thresholds = [slow, quick, few].map(
    (typical) => after(working([sampleStep("tool", "deploy", { typical })]), 1e6 / 2).threshold_ms,
  );
  expect(thresholds).toEqual([150_000, 30_000, 60_000]);
  expect(after(working([sampleStep("tool", "deploy", { typical: slow })]), 150_000).why).toBe(
    "The tool `deploy` has not ended, and has written nothing. 99 % of the last 20 such steps took at most 50 s, so more than 2 m 30 s (3 times that, at least 30 s) is unusual.",
  );
});

test("a tool within its own limit is at work however long it is silent; past it, it is stuck", () => {
  const facts = working([sampleStep("tool", "bash", { timeoutMs: 3_600_000 }), sampleStep("model", "m")]);
  expect(after(facts, 3_599_000)).toMatchObject({ state: "working" });
  expect(after(facts, 3_599_000).why).toBe(
    "The agent works on the message msg_1. The tool `bash` runs, within its own limit of 1 h.",
  );
  expect(after(facts, 3_600_000 + TOOL_ENDING_MS)).toMatchObject({ state: "stuck", rule: "tool_overran" });
  // It may have waited for a person first.
  const answered = { ...facts, answeredMs: T0 + 3_000_000 };
  expect(after(answered, 3_600_000 + TOOL_ENDING_MS).state).toBe("working");
});

test("a runner that is silent for longer than the link allows is stuck, whatever the tools' limits", () => {
  const facts = working([sampleStep("tool", "bash", { timeoutMs: 3_600_000 })]);
  const at = (ms: number) => verdictOf(facts, T0 + ms);
  expect(at(40_000)).toMatchObject({ state: "working" });
  expect(at(40_000).why).toContain("The runner itself is silent, too");
  expect(at(90_000)).toMatchObject({ state: "stuck", rule: "runner_silent", threshold_ms: 90_000, value_ms: 90_000 });
  expect(at(90_000).why).toContain("Its process may be frozen");
});

test("an agent that asks waits for a person, whatever else is silent", () => {
  const request = { kind: "question", id: "que_1", askedMs: T0, text: "Which  one?", count: 2 } as const;
  const facts = working([sampleStep("tool", "question")], { isWaitingForPerson: true }, { requests: [request] });
  expect(after(facts, 5 * 3_600_000)).toMatchObject({
    state: "waiting_for_person",
    why: "The agent asks: Which one?",
    command: "valet reply ses_1 que_1 ANSWER ANSWER2",
    value_ms: 5 * 3_600_000,
  });
  const permission = { kind: "permission", id: "per_1", askedMs: T0, text: "bash: rm -rf /", count: 1 } as const;
  expect(after({ ...facts, requests: [permission] }, 1)).toMatchObject({
    state: "waiting_for_person",
    why: "The agent asks for permission: bash: rm -rf /",
    command: "valet reply ses_1 per_1 once|always|reject",
  });
});

test("a request for permission in one line keeps its commands apart, and shows that it is cut", () => {
  const whyOf = (detail: string) => {
    const asked = { kind: "permission", id: "per_1", askedMs: T0, text: `bash: ${detail}`, count: 1 } as const;
    return after(working([sampleStep("tool", "bash")], { isWaitingForPerson: true }, { requests: [asked] }), 1)?.why;
  };
  expect(whyOf("echo  tidied up\nrm -rf ~")).toBe("The agent asks for permission: bash: echo tidied up ↵ rm -rf ~");
  expect(whyOf(`echo ${"a".repeat(200)}; rm -rf ~`)).toMatch(/a…$/);
});

test("a sandbox that starts says what it is doing, and how long it may take", () => {
  const doing = "it runs `git clone` of https://git.example/x.git";
  const operation = { kind: "spawn", sinceMs: T0, dueMs: T0 + 300_000, stage: "git_setup", doing } as const;
  const facts: SessionFacts = { ...SAMPLE_FACTS, status: "starting", operation, link: { isUp: true, heardMs: T0 } };
  expect(after(facts, 200_000)).toMatchObject({
    state: "waiting_for_sandbox",
    rule: "sandbox_starting",
    why: "The sandbox starts: it runs `git clone` of https://git.example/x.git.",
    nextStep: "Wait: at 08:05:00 UTC at the latest it fails with its cause, and is tried again where that can help.",
  });
  expect(after(facts, 311_000)).toMatchObject({ state: "stuck", rule: "operation_overdue" });
});

test("a failed job needs attention until something runs", () => {
  const job = { kind: "message", id: "msg_1" } as const;
  const failure = { job, type: "provider_auth_failed", sinceMs: T0, message: "The key is wrong." };
  const facts: SessionFacts = { ...SAMPLE_FACTS, failure };
  expect(after(facts, 5)).toMatchObject({ state: "failed", rule: "job_failed", command: "valet why ses_1 msg_1" });
  expect(after({ ...facts, status: "hibernated", link: null }, 5).state).toBe("failed");
  expect(after({ ...facts, runs: [SAMPLE_RUN] }, 5).state).toBe("working");
  expect(after({ ...facts, status: "terminated", link: null }, 5).state).toBe("idle");
  expect(after({ ...facts, status: "error", failure: { ...failure, job: null }, link: null }, 5)).toMatchObject({
    state: "failed",
    rule: "session_error",
    why: "The session has no sandbox, and none could be started: `provider_auth_failed`. The key is wrong.",
  });
});

test.each([
  ["git_auth_failed", true],
  ["git_ref_not_found", true],
  ["git_not_found", true],
  ["spawn_failed", false],
  ["unheard_of", false],
])(
  "a session that could not start with %s is not only to be woken, if what it was created with may be wrong: %s",
  (type, isOfCreation) => {
    const failure = { job: null, type, sinceMs: T0, message: "So it is." };
    const { nextStep } = after({ ...SAMPLE_FACTS, status: "error", failure, link: null }, 5);
    expect(nextStep).toMatch(/^Fix the cause, then wake the session/);
    expect(/if one of them is wrong, create another session/.test(nextStep)).toBe(isOfCreation);
  },
);

test("the next step for a missing snapshot does not advise another try", () => {
  const failure = { job: null, type: "snapshot_gone", sinceMs: T0, message: "So it is." };
  const { nextStep } = after({ ...SAMPLE_FACTS, status: "error", failure, link: null }, 5);
  expect(nextStep).toMatch(/^Wake the session once the snapshot is back/);
  expect(nextStep).toContain("Without it the session cannot go on");
});

test("several steps at once are one sentence", () => {
  const step = (name: string) => sampleStep("command", name, { timeoutMs: 600_000 });
  const facts = { ...SAMPLE_FACTS, runs: [{ ...SAMPLE_RUN, steps: [step("a"), step("b")] }] };
  expect(after(facts, 5).why).toContain(
    "The command `a` runs, within its own limit of 10 m; the command `b` runs, within its own limit of 10 m.",
  );
});

test("outside of the session's store a failure names its error type and the first cause, and nothing else", () => {
  const job = { kind: "message", id: "msg_1" } as const;
  const failure = { job, type: "model_chain_exhausted", cause: "provider_failed", sinceMs: T0, message: "A `canary`." };
  const failed = after({ ...SAMPLE_FACTS, failure }, 5);
  expect(failed.why).toBe(
    "The last message failed with `model_chain_exhausted`, because of `provider_failed`. A `canary`.",
  );
  expect(whyWithoutContent(failed)).toBe(
    "The last message failed with `model_chain_exhausted`, because of `provider_failed`.",
  );
  const { cause: _, ...start } = { ...failure, job: null, type: "git_not_found" };
  const error = after({ ...SAMPLE_FACTS, status: "error", failure: start, link: null }, 5);
  expect(whyWithoutContent(error)).toBe("The session has no sandbox, and none could be started: `git_not_found`.");
});

test("waits for a slot, for a link, and for a batch have states of their own", () => {
  const queue = { count: 1, sinceMs: T0, reason: "capacity" } as const;
  const line = { sinceMs: T0, place: 3 };
  expect(after({ ...SAMPLE_FACTS, status: "starting", queue, line, link: null }, 1)).toMatchObject({
    state: "waiting_for_capacity",
    why: "The limit on sandboxes is reached; the session stands at place 3 in line for one.",
  });
  expect(after({ ...SAMPLE_FACTS, queue, link: { isUp: false, heardMs: T0 } }, 1)).toMatchObject({
    state: "waiting_for_sandbox",
    rule: "runner_reconnecting",
  });
  const sleepProblem = {
    type: "snapshot_failed",
    detail: "files could not be copied: no space left on device",
    sinceMs: T0,
    retryMs: T0 + 60_000,
  } as const;
  const unkept = { ...SAMPLE_FACTS, queue, link: null, sleepProblem };
  // Nobody makes room but a person.
  for (const facts of [unkept, { ...unkept, status: "hibernating" } as const]) {
    expect(after(facts, 60_000)).toMatchObject({
      state: "stuck",
      rule: "files_unkept",
      threshold_ms: 60_000,
      why: expect.stringContaining(
        "The runner is gone, and no snapshot of its sandbox's files can be taken: `snapshot_failed`",
      ),
      command: "valet hibernate ses_1",
    });
  }
  expect(after({ ...unkept, queue: null }, 60_000).state).toBe("idle");
  // An old problem is none for work that has only just arrived.
  const arrived = { ...unkept, queue: { ...queue, sinceMs: T0 + 3_600_000 } };
  expect(after(arrived, 3_600_001)).toMatchObject({ state: "waiting_for_sandbox" });
  expect(after(arrived, 3_660_000)).toMatchObject({ state: "stuck", rule: "files_unkept" });
  expect(after({ ...unkept, sleepProblem: { ...sleepProblem, retryMs: null } }, 1).nextStep).toContain(
    "The snapshot is being tried again; then the work continues.",
  );
  expect(after(unkept, 1)).toMatchObject({
    state: "waiting_for_sandbox",
    rule: "runner_reconnecting",
    why: "The runner is gone, and no snapshot of its sandbox's files can be taken: `snapshot_failed`, files could not be copied: no space left on device.",
    nextStep: expect.stringMatching(
      /the disk may be full.* The snapshot is tried again at \d\d:\d\d:\d\d UTC, or when you hibernate/,
    ),
    command: "valet hibernate ses_1",
  });
  expect(after({ ...SAMPLE_FACTS, queue: { ...queue, reason: "collect_debounce" } }, 1)).toMatchObject({
    state: "working",
    rule: "work_queued",
  });
  expect(after({ ...SAMPLE_FACTS, status: "hibernated", link: null }, 1)).toMatchObject({
    state: "idle",
    rule: "asleep",
  });
});

// For all facts.

/** What a sentence contains for which a value was missing. */
const UNFILLED = /undefined|NaN|null|``/;

const time = fc.integer({ min: 0, max: 4_000_000 }).map((ms) => T0 + ms);
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null });
const kinds: readonly Step["kind"][] = [
  ...(["model", "tool", "retry", "prepare", "compaction", "agent", "finalize", "command", "person"] as const),
];
const anyStep: fc.Arbitrary<Step> = fc
  .record({
    kind: fc.constantFrom(...kinds),
    name: fc.constantFrom("bash", "read", "m", ""),
    sinceMs: time,
    askedMs: maybe(time),
    heardMs: maybe(time),
    byteMs: maybe(time),
    timeoutMs: maybe(fc.integer({ min: 1, max: 1_000_000 })),
    afterError: maybe(fc.constant("provider_failed")),
    samples: fc.array(fc.integer({ min: 0, max: 500_000 }), { maxLength: 40 }),
  })
  .map(({ samples, ...step }) => ({ ...step, typical: typicalOf(step.kind, step.name, samples) }));
const anyRun: fc.Arbitrary<Run> = fc.record({
  kind: fc.constantFrom("message", "workflow"),
  jobId: fc.constant("msg"),
  channel: fc.constantFrom("main", "other"),
  state: fc.constantFrom("dispatched", "accepted"),
  dispatchedMs: time,
  signMs: time,
  isWaitingForPerson: fc.boolean(),
  isStopping: fc.boolean(),
  steps: fc.array(anyStep, { maxLength: 4 }),
});
const anyFacts: fc.Arbitrary<SessionFacts> = fc.record({
  sessionId: fc.constant("ses_1"),
  status: fc.constantFrom(...SessionStatus.options),
  statusMs: time,
  failure: maybe(
    fc.record({
      job: maybe(fc.record({ kind: fc.constantFrom("message", "workflow"), id: fc.constant("msg") })),
      type: fc.constant("_OTHER"),
      sinceMs: time,
      message: fc.constant("It failed."),
    }),
  ),
  requests: fc.array(
    fc.record({
      kind: fc.constantFrom("permission", "question"),
      id: fc.constant("req"),
      askedMs: time,
      // It is the agent's own text, and quoted as it is.
      text: fc.string().filter((text) => !UNFILLED.test(text)),
      count: fc.integer({ min: 1, max: 3 }),
    }),
    { maxLength: 2 },
  ),
  runs: fc.array(anyRun, { maxLength: 3 }),
  queue: maybe(
    fc.record({
      count: fc.integer({ min: 1, max: 9 }),
      sinceMs: time,
      reason: maybe(fc.constantFrom(...QUEUE_REASONS)),
    }),
  ),
  operation: maybe(
    fc.record({
      kind: fc.constantFrom("spawn", "restore", "hibernate", "terminate"),
      sinceMs: time,
      dueMs: maybe(time),
      stage: fc.constantFrom("git_setup", null),
      doing: fc.constantFrom("", "it works"),
    }),
  ),
  line: maybe(fc.record({ sinceMs: time, place: maybe(fc.integer({ min: 1, max: 9 })) })),
  link: maybe(fc.record({ isUp: fc.boolean(), heardMs: time })),
  sleepProblem: maybe(fc.record({ type: fc.constant("snapshot_failed"), sinceMs: time, retryMs: time })),
  answeredMs: fc.oneof(fc.constant(0), time),
  knowsSteps: fc.boolean(),
  limits: fc.constant(SAMPLE_FACTS.limits),
});

test("any facts have exactly one verdict, which names its rule, and never a negative value", () => {
  fc.assert(
    fc.property(anyFacts, time, (facts, nowMs) => {
      const verdict = VerdictView.parse(verdictOf(facts, nowMs));
      expect(VERDICT_STATES).toContain(verdict.state);
      expect(VERDICT_RULES[verdict.rule as VerdictRule]).toBe(verdict.state);
      expect(verdict.value_ms).toBeGreaterThanOrEqual(0);
      if (verdict.state === "quiet") expect(verdict.threshold_ms).toBeGreaterThanOrEqual(30_000);
      if (verdict.state === "quiet" || verdict.state === "stuck") {
        expect(verdict.value_ms).toBeGreaterThanOrEqual(verdict.threshold_ms as number);
      }
      expect(`${verdict.why} ${verdict.nextStep}`).not.toMatch(UNFILLED);
      expect(agedVerdict(verdict, nowMs + 7)).toEqual({ ...verdict, value_ms: verdict.value_ms + 7 });
    }),
  );
});

test("a step within its own limit is never what is quiet or stuck", () => {
  fc.assert(
    fc.property(anyFacts, time, (facts, nowMs) => {
      const { step } = judge(facts, nowMs);
      if (step?.timeoutMs == null) return;
      expect(nowMs - step.sinceMs).toBeGreaterThanOrEqual(step.timeoutMs);
    }),
  );
});

test("between two changes that are announced, time alone changes no verdict", () => {
  fc.assert(
    fc.property(anyFacts, time, fc.double({ min: 0, max: 1, noNaN: true }), (facts, nowMs, share) => {
      const next = nextChangeMs(facts, nowMs) ?? nowMs + 10_000_000;
      expect(next).toBeGreaterThan(nowMs);
      const laterMs = nowMs + Math.floor((next - nowMs - 1) * share);
      expect(judge(facts, laterMs)).toEqual(judge(facts, nowMs));
    }),
  );
});
