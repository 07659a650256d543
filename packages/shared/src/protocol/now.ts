/** What a session does now, and which sessions need attention: the answers of `/now` and `/api/attention`. */
import { z } from "zod";
import { QUEUE_REASONS, SANDBOX_STAGES } from "../spans.ts";
import { CapacityHolders } from "./capacity.ts";
import { PageQuery } from "./session-api.ts";
import { PermissionView, QuestionView, SessionStatus } from "./session-view.ts";
import { VerdictView } from "./verdict.ts";

const time = z.iso.datetime();
const millis = z.number().nonnegative();
const count = z.int().nonnegative();

/** A step that running work waits for. */
export const StepNow = z.object({
  kind: z.enum(["model", "tool", "retry", "prepare", "compaction", "agent", "finalize", "command", "person"]),
  /** The tool, the model, or the workflow's step; `null` for other kinds. */
  name: z.string().nullable(),
  since: time,
  age_ms: millis,
  /** When it was last heard: output of the tool, a part of the model's answer; `null` if it was not yet. */
  heardAt: time.nullable(),
  /** When the model's provider last sent anything at all; `null` if it has not, or for other kinds. */
  lastByteAt: time.nullable(),
  /** Its own limit; `null` if it has none. */
  timeout_ms: millis.nullable(),
  /** The 99th percentile of the last such steps of the owner, or the default. */
  typical_p99_ms: millis,
  /** Of how many steps that is; 0 for a default. */
  typical_samples: count,
});
export type StepNow = z.infer<typeof StepNow>;

/** A message or a workflow that runs. */
export const RunNow = z.object({
  id: z.string(),
  kind: z.enum(["message", "workflow"]),
  channel: z.string(),
  attempt: z.int().positive(),
  /** Whether the runner has accepted it. */
  isAccepted: z.boolean(),
  /** Whether it is being stopped. */
  isStopping: z.boolean(),
  dispatchedAt: time,
  age_ms: millis,
  /** The cost so far, as the runner last reported it; `null` if unknown. */
  cost_usd: z.number().nonnegative().nullable(),
  /** Whether a part of the cost is unknown, so that it is a lower bound. */
  isCostPartial: z.boolean(),
  steps: z.array(StepNow),
});
export type RunNow = z.infer<typeof RunNow>;

/** A message or a workflow that waits. */
export const QueuedNow = z.object({
  id: z.string(),
  kind: z.enum(["message", "workflow"]),
  channel: z.string(),
  /** What it waits for; `null` if that is not known yet. */
  reason: z.enum(QUEUE_REASONS).nullable(),
  since: time,
  wait_ms: millis,
});
export type QueuedNow = z.infer<typeof QueuedNow>;

/** The most queued jobs that the answer lists. */
export const MAX_QUEUED_NOW = 50;

export const NowView = z.object({
  sessionId: z.string(),
  at: time,
  title: z.string().nullable(),
  status: SessionStatus,
  verdict: VerdictView,
  running: z.array(RunNow),
  /** The first waiting jobs, at most 50. */
  queue: z.array(QueuedNow),
  queueLength: count,
  /** The session's place in the line for a sandbox, from 1; `null` while it does not wait for one. */
  capacityPlace: z.int().positive().nullable(),
  /** Who holds what it waits for there; absent while it does not wait, or if that is not known. */
  capacityHolders: CapacityHolders.optional(),
  /** The start of the sandbox; `null` if none is under way. */
  start: z
    .object({
      kind: z.enum(["spawn", "restore"]),
      since: time,
      age_ms: millis,
      stage: z.enum(SANDBOX_STAGES).nullable(),
      /** What the runner does, such as `git clone`; `null` if that is unknown. */
      doing: z.string().nullable(),
    })
    .nullable(),
  /** When the runner was last heard, its heartbeats included; `null` without a runner. */
  runnerHeardAt: time.nullable(),
  permissions: z.array(PermissionView),
  questions: z.array(QuestionView),
  /** The cost of all turns and of what runs; `null` if nothing is known. */
  cost_usd: z.number().nonnegative().nullable(),
  /** Whether a part of the cost is unknown, so that it is a lower bound. */
  isCostPartial: z.boolean(),
});
export type NowView = z.infer<typeof NowView>;

/** A session that needs attention. */
export const AttentionItem = z.object({
  sessionId: z.string(),
  title: z.string().nullable(),
  repoUrl: z.string().nullable(),
  branch: z.string().nullable(),
  verdict: VerdictView,
});
export type AttentionItem = z.infer<typeof AttentionItem>;

export const AttentionQuery = PageQuery;
export const AttentionList = z.object({
  items: z.array(AttentionItem),
  nextCursor: z.string().optional().describe("Absent on the last page"),
});
export type AttentionList = z.infer<typeof AttentionList>;
