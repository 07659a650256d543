/** The answer `why`: where the wall time and the money of a message or a workflow went, and why it failed. */
import { z } from "zod";
import { ERROR_TYPES, OUTCOMES } from "../spans.ts";
import { CapacityHolders } from "./capacity.ts";

/**
 * What a part of the wall time was spent on. All times are on the critical path: work in parallel counts once, for the step that
 * says most.
 */
export const PART_NAMES = [
  /** Another job ran in the channel. The nested parts are those of that job. */
  "queue.channel",
  /** The sandbox started, was restored or was replaced. The nested parts are those of the start. */
  "queue.sandbox",
  /** The limit on sandboxes was reached: another session's sandbox had to end first. */
  "queue.capacity",
  /** The runner was not connected. */
  "queue.runner",
  /** Messages were collected into a batch. */
  "queue.collect",
  /** The queue, for another or an unknown reason. */
  "queue.other",
  /** Before a restore: the sandbox was still hibernating. */
  "sandbox.hibernate",
  /** Of a start: the broker, without its copying. */
  "sandbox.broker",
  /** Of a start: the broker copied files of a snapshot. */
  "sandbox.copy",
  /** Of a start: from the broker's answer until the runner was connected. */
  "sandbox.boot",
  /** Of a start: OpenCode. */
  "sandbox.agent_start",
  /** Of a start: the repository was set up. */
  "sandbox.clone",
  /** Of a start: OpenCode prepared for its first message, and nothing else was left to do. */
  "sandbox.warm_up",
  /** Of a start: no step of it is known for this time; or the pause before the next try of a start. */
  "sandbox.other",
  /** From sending the work to the runner until the runner accepted it. */
  "dispatch",
  /** The agent prepared before its first model call. `detail` is the MCP servers that it waited for, if it did. */
  "prepare",
  /** A model was asked, and no token had come. `detail` is the model. */
  "model.first_token",
  /** A model answered. `detail` is the model. */
  "model.streaming",
  /** Failed tries of a model call, and the pauses after them. `detail` is the model, `cause` the first try's error. */
  "model.retry",
  /** A tool call. `detail` is the tool, `cause` how the first call that failed did. */
  "tool",
  /** A step of a workflow that runs a command. `detail` is the step. */
  "command",
  /** A person had to allow something. `detail` is what kind. */
  "permission",
  /** A person had to answer a question. */
  "question",
  /** The agent summarized its context. */
  "compaction",
  /** The agent itself, between its calls of models and tools. `detail` is the agent. */
  "agent",
  /** A sub-agent. `detail` is the agent, and the nested parts are what it did. */
  "sub_agent",
  /** A child session was created. `detail` is its id. */
  "child_session",
  /**
   * A command of the message or workflow gave work to another session of the family, and that work was waited for. `detail` is that
   * session's id, and the nested parts are those of its work.
   */
  "child_session.work",
  /** A command sent another message or workflow to the session itself, and waited. `detail` is its id, and its parts are nested. */
  "sent_job",
  /** Within a turn, OpenCode started (again), or the turn waited for its start. */
  "agent_start",
  /** OpenCode did not respond. */
  "agent_unresponsive",
  /** The runner read and reported the answer, and the session stored it. */
  "finalize",
  /** The runner was gone, and the session had not given up the attempt yet. */
  "runner_gone",
  /** An attempt that was lost. `cause` says why, and the nested parts are what it did. */
  "lost_attempt",
  /** No span explains this time. */
  "unattributed",
] as const;
export const PartName = z.enum(PART_NAMES);
export type PartName = z.infer<typeof PartName>;

const wholeMs = z.int().nonnegative();
const usd = z.number().nonnegative().nullable();
const tokens = z.number().nonnegative().nullable();
const time = z.iso.datetime();

/** A span, by which the API and `valet trace` find it. */
export const SpanReference = z.object({ sessionId: z.string(), traceId: z.string(), spanId: z.string() });
export type SpanReference = z.infer<typeof SpanReference>;

/** How many spans a part names at most. */
export const MAX_PART_SPANS = 20;

export const Part = z.object({
  name: PartName,
  detail: z.string().nullable().describe("Which one: the tool, the model, the agent, …"),
  ms: wholeMs.describe("The parts of one list add up exactly"),
  spans: z
    .array(SpanReference.extend({ ms: wholeMs.describe("What of the part this span explains") }))
    .max(MAX_PART_SPANS)
    .describe("Largest first, at most 20"),
  spanCount: z.int().nonnegative().describe("How many spans the part has"),
  cause: z
    .string()
    .nullable()
    .describe(
      "An error type, the exit code of a tool's command that failed (`exit code 1`), or why the operation behind the part began; null if there is none",
    ),
  /** What the part consists of, largest first: empty, or adding up exactly to its `ms`. */
  get parts() {
    return z.array(Part);
  },
});
export type Part = z.infer<typeof Part>;

/** How many pieces the course of a message's time has at most. */
export const MAX_COURSE_PIECES = 200;

/** A period that was spent on one outermost part, which has the same name and, unless it was joined with others, the same detail. */
export const CoursePiece = z.object({ name: PartName, detail: z.string().nullable(), ms: wholeMs });
export type CoursePiece = z.infer<typeof CoursePiece>;

/** What the calls of one model by one agent cost. */
export const ModelMoney = z.object({
  model: z.string().nullable().describe("As its provider names it; null if only the turn's sums are known"),
  provider: z.string().nullable().describe("The provider, as `gen_ai.provider.name` names it"),
  agent: z.string().nullable().describe("The agent or sub-agent"),
  sub_agent: z.boolean().describe("Whether the agent works for another agent"),
  cost_usd: usd.describe("The known cost; null if none is known"),
  known: z.boolean().describe("Whether the cost of every call is known"),
  calls: z.int().nonnegative(),
  tokens_input: tokens,
  tokens_output: tokens,
  tokens_cache_read: tokens,
  tokens_cache_write: tokens,
});
export type ModelMoney = z.infer<typeof ModelMoney>;

/** Why a cost was avoidable. */
export const AVOIDABLE_REASONS = [
  /** The provider's cache expired in a pause between two model calls: no message came, a tool ran, the sandbox started. */
  "cache_lost_idle",
  /** The provider's cache expired while a person was asked. */
  "cache_lost_person",
  /** The context was summarized, so the cached one no longer applied; or the summary was requested without the cache. */
  "cache_lost_compaction",
  /** Another model was used, which had no cache. */
  "cache_lost_model_switch",
  /** The session was restored into another sandbox between two model calls. */
  "cache_lost_restore",
  /** The provider did not use its cache, and no span says why. */
  "cache_lost_other",
  /** A try that failed may have been charged, and the call was retried. */
  "retry",
  /** The calls of a model that then failed, so that another took over. */
  "failover",
  /** A call that was charged and whose answer was unusable. */
  "failed_call",
  /** The calls of an attempt that was lost, so that another began anew. */
  "lost_attempt",
  /** The agent repeated a tool call that gave nothing new. */
  "tool_loop",
] as const;
export const AvoidableReason = z.enum(AVOIDABLE_REASONS);
export type AvoidableReason = z.infer<typeof AvoidableReason>;

export const Avoidable = z.object({
  reason: AvoidableReason,
  cost_usd: usd.describe("The known part of what it cost more; null if none is known"),
  // Older versions did not say it.
  known: z.boolean().default(true).describe("Whether all of what it cost more is known"),
  sentence: z.string(),
  spans: z.array(SpanReference).max(MAX_PART_SPANS),
});
export type Avoidable = z.infer<typeof Avoidable>;

/** What the work that was given to another session cost. */
export const SessionMoney = z.object({
  sessionId: z.string(),
  cost_usd: usd.describe("The known cost of the work that this job gave to it; null if none is known"),
  known: z.boolean().describe("Whether the cost of every call is known"),
});
export type SessionMoney = z.infer<typeof SessionMoney>;

export const Money = z.object({
  cost_usd: usd.describe("The known cost; null if none is known"),
  known: z.boolean().describe("Whether the cost of every call is known"),
  by: z.array(ModelMoney).describe("By model and agent, the most expensive first"),
  avoidable: z.array(Avoidable).describe("The most expensive first"),
  children: z
    .array(SessionMoney)
    .describe("What child sessions cost for their work for this job; not a part of `cost_usd`"),
  sentence: z.string(),
});
export type Money = z.infer<typeof Money>;

/** A span that shows the failure or its cause. */
export const Evidence = SpanReference.extend({
  name: z.string(),
  at: time.describe("When it showed"),
  note: z.string().describe("What it shows"),
});
export type Evidence = z.infer<typeof Evidence>;

/**
 * Why a message or workflow did not end well, or why one that has not ended is delayed by something that failed: the error, and
 * the first cause in causal order.
 */
export const WhyFailure = z.object({
  type: z.enum(ERROR_TYPES).describe("What it ended with, or what is being retried"),
  outcome: z.enum(OUTCOMES).describe("Of the job; of what failed if the job has not ended"),
  sentence: z.string(),
  cause: z
    .object({ type: z.enum(ERROR_TYPES), sentence: z.string() })
    .nullable()
    .describe("The first cause, with the error type of its own; null if nothing but the failure itself is known"),
  evidence: z.array(Evidence).max(MAX_PART_SPANS).describe("The cause first"),
  said: z
    .string()
    .nullable()
    .describe("What the provider itself said of the first cause; null unless it did, and content is captured"),
  remedy: z.string().nullable().describe("What to do; null if nothing is to be done"),
});
export type WhyFailure = z.infer<typeof WhyFailure>;

/** How the store of another session could be read. */
export const SESSION_READINGS = [
  /** It answered. */
  "read",
  /** It was deleted, and its spans with it. */
  "deleted",
  /** There is no such session of this owner. */
  "gone",
  /** It did not answer in time. */
  "slow",
  /** It runs an older version of Valet, which cannot answer. */
  "older",
  /** It failed to answer. */
  "failed",
  /** More sessions belong to the answer than it asks. */
  "left_out",
] as const;
export const SessionReading = z.enum(SESSION_READINGS);
export type SessionReading = z.infer<typeof SessionReading>;

/** A message or a workflow of another session that belongs to the answer. */
export const OtherWork = z.object({
  messageId: z.string().describe("Of the message, or of the workflow's execution"),
  kind: z.enum(["message", "workflow"]),
  role: z
    .enum(["work", "cause"])
    .describe(
      "`work`: this job, or one that it caused, gave the other session this work. `cause`: this job reports about it",
    ),
  traceId: z.string().nullable(),
  state: z.enum(["queued", "running", "ended"]),
  outcome: z.enum(OUTCOMES).nullable(),
  sentence: z.string(),
  time: z
    .object({ wall_ms: wholeMs, parts: z.array(Part) })
    .describe("Its own wall time, much of it beside this job's"),
  cost_usd: usd,
  known: z.boolean().describe("Whether the cost of every call is known"),
  failure: WhyFailure.nullable(),
});
export type OtherWork = z.infer<typeof OtherWork>;

/** Another session of the family, and what of its work belongs to the answer. */
export const OtherSession = z.object({
  sessionId: z.string(),
  reading: SessionReading,
  sentence: z.string().describe("What it did for this job, or why it could not be read"),
  work: z.array(OtherWork).describe("Oldest first"),
});
export type OtherSession = z.infer<typeof OtherSession>;

export const WhyView = z.object({
  sessionId: z.string(),
  messageId: z.string().describe("Of the message, or of the workflow's execution"),
  kind: z.enum(["message", "workflow"]),
  traceId: z.string().nullable().describe("null if tracing was off"),
  at: time.describe("When this was answered"),
  state: z.enum(["queued", "running", "ended"]),
  outcome: z.enum(OUTCOMES).nullable().describe("null until it has ended"),
  sentence: z.string().describe("The answer in one sentence"),
  time: z.object({
    wall_ms: wholeMs.describe("From acceptance to the outcome, or to `at`"),
    parts: z.array(Part).describe("Largest first; they add up exactly to `wall_ms`"),
    course: z
      .array(CoursePiece)
      .max(MAX_COURSE_PIECES)
      .describe(
        "The same time in its order, from acceptance on; the pieces add up exactly to `wall_ms`. If there are more than 200, the time is divided evenly, and each piece is what had most of its share",
      ),
  }),
  money: Money,
  failure: WhyFailure.nullable().describe(
    "null unless it ended with another outcome than `ok`, or something failed that is being retried",
  ),
  sessions: z
    .array(OtherSession)
    .describe("Other sessions of the family that worked for this job, or that it reports about"),
  capacityHolders: CapacityHolders.optional().describe(
    "Who holds the sandboxes for which the session stands in line now; absent if it does not, or that is not known",
  ),
});
export type WhyView = z.infer<typeof WhyView>;
