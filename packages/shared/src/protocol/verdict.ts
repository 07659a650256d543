/** The verdict on a session: what it does or waits for now, since when, by which rule, and what to do. */
import { z } from "zod";

/** The states of a verdict. A session has exactly one. */
export const VERDICT_STATES = [
  /** It has nothing to do: it waits for a message, sleeps, or has ended. */
  "idle",
  /** Its agent, or a workflow, is at work, and something was heard of it recently enough. */
  "working",
  /** The agent waits for a person's permission or answer. */
  "waiting_for_person",
  /** Its sandbox is starting, is being restored or replaced, or is connecting again. */
  "waiting_for_sandbox",
  /** It stands in line for a sandbox, since the limit on sandboxes is reached. */
  "waiting_for_capacity",
  /** Nothing was heard of a step for longer than is usual. */
  "quiet",
  /** Something is past a limit of Valet, or the runner is silent for longer than the link allows. */
  "stuck",
  /** The last job failed, and nothing runs since; or the session has no sandbox, for an error. */
  "failed",
] as const;
export type VerdictState = (typeof VERDICT_STATES)[number];

/** The states that need somebody's attention. */
export const ATTENTION_STATES = ["waiting_for_person", "quiet", "stuck", "failed"] as const satisfies VerdictState[];
export type AttentionState = (typeof ATTENTION_STATES)[number];

/** The rules, with the state that each leads to. The specification says what each one measures. */
export const VERDICT_RULES = {
  session_error: "failed",
  job_failed: "failed",
  runner_silent: "stuck",
  dispatch_unaccepted: "stuck",
  turn_silent: "stuck",
  turn_too_long: "stuck",
  tool_overran: "stuck",
  model_silent: "stuck",
  command_overran: "stuck",
  operation_overdue: "stuck",
  files_unkept: "stuck",
  permission_asked: "waiting_for_person",
  question_asked: "waiting_for_person",
  step_quiet: "quiet",
  turn_quiet: "quiet",
  work_running: "working",
  work_dispatched: "working",
  work_queued: "working",
  in_line: "waiting_for_capacity",
  sandbox_starting: "waiting_for_sandbox",
  sandbox_restoring: "waiting_for_sandbox",
  sandbox_lost: "waiting_for_sandbox",
  sandbox_stopping: "waiting_for_sandbox",
  runner_reconnecting: "waiting_for_sandbox",
  no_work: "idle",
  asleep: "idle",
  ended: "idle",
} as const satisfies Readonly<Record<string, VerdictState>>;
export type VerdictRule = keyof typeof VERDICT_RULES;
const RULES = Object.keys(VERDICT_RULES) as [VerdictRule, ...VerdictRule[]];

const millis = z.number().nonnegative();

export const VerdictView = z.object({
  state: z.enum(VERDICT_STATES),
  /** When what the rule measures began: the last output, the question, the failure, the request for a sandbox. */
  since: z.iso.datetime(),
  /** A sentence. It holds no age, which {@link value_ms} is, so that it stays true while time passes. */
  why: z.string(),
  /** What to do. */
  nextStep: z.string(),
  /** The command that does it, or that shows more; `null` if there is nothing to do. */
  command: z.string().nullable(),
  rule: z.enum(RULES),
  /** The threshold or limit that the rule compares with; `null` for a rule without one. */
  threshold_ms: millis.nullable(),
  /** What the rule has measured: the time since {@link since}. */
  value_ms: millis,
});
export type VerdictView = z.infer<typeof VerdictView>;
