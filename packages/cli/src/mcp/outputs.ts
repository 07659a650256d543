/**
 * The structured results of tools: what the API's own schemas say, without what only people read. Times are plain
 * strings and long lists of names too, since a client shows all these schemas to its model.
 */
import { AttentionItem, NowView, QueuedNow, RunNow, StepNow } from "@valet/shared/protocol/now";
import { PermissionView, QuestionView, SessionView, TurnRecord } from "@valet/shared/protocol/session-view";
import { Distribution, MEASURES, type Measure } from "@valet/shared/protocol/turn-stats";
import { VerdictView } from "@valet/shared/protocol/verdict";
import { Avoidable, Money, Part, WhyFailure, WhyView } from "@valet/shared/protocol/why";
import { z } from "zod";

const time = z.string().describe("ISO 8601, UTC");
const text = z.string().nullable();
const notes = z.array(z.string()).describe("How to read the result, what was left out and how to get it");

const Verdict = VerdictView.pick({ state: true, why: true, nextStep: true, value_ms: true }).extend({
  since: time,
  rule: z.string(),
  threshold_ms: z.number().nullable(),
});

export const AttentionOutput = z.object({
  items: z.array(AttentionItem.pick({ sessionId: true, title: true, repoUrl: true }).extend({ verdict: Verdict })),
  notes,
});

const Step = StepNow.pick({ kind: true, name: true, age_ms: true, timeout_ms: true, typical_p99_ms: true });
const Run = RunNow.pick({ id: true, kind: true, channel: true, attempt: true, isStopping: true, age_ms: true });
const Queued = QueuedNow.pick({ id: true, kind: true, channel: true, wait_ms: true }).extend({ reason: text });

export const NowOutput = NowView.pick({ sessionId: true, status: true, queueLength: true, capacityPlace: true }).extend(
  {
    at: time,
    verdict: Verdict,
    running: z.array(Run.extend({ cost_usd: z.number().nullable(), isCostPartial: z.boolean(), steps: z.array(Step) })),
    queue: z.array(Queued),
    permissions: z.array(PermissionView.pick({ id: true, messageId: true, permission: true, detail: true })),
    questions: z.array(QuestionView.pick({ id: true, messageId: true, questions: true })),
    cost_usd: z.number().nullable().describe("Of all turns and of what runs; null if unknown"),
    isCostPartial: z.boolean().describe("Whether the cost is a lower bound"),
    notes,
  },
);

const WhyPart = Part.pick({ detail: true, ms: true, cause: true, spanCount: true }).extend({
  name: z.string(),
  traceId: text.describe("Trace and span that explain most of it"),
  spanId: text,
});

export const WhyOutput = WhyView.pick({
  sessionId: true,
  messageId: true,
  kind: true,
  state: true,
  sentence: true,
}).extend({
  traceId: text,
  outcome: text,
  wall_ms: z.number(),
  parts: z.array(WhyPart).describe("Where the time went, largest first; the text shows what they consist of"),
  money: Money.pick({ cost_usd: true, known: true, sentence: true }),
  avoidable: z.array(Avoidable.pick({ cost_usd: true, known: true, sentence: true }).extend({ reason: z.string() })),
  failure: WhyFailure.pick({ sentence: true, remedy: true })
    .extend({
      type: z.string(),
      outcome: z.string(),
      cause: z.object({ type: z.string(), sentence: z.string() }).nullable(),
    })
    .nullable(),
  notes,
});

export const TurnsOutput = z.object({
  turns: z.array(
    TurnRecord.pick({ session_id: true, message_ids: true, trace_id: true, channel: true }).extend({
      ended_at: time,
      outcome: z.string(),
      error_type: text,
      error_cause: text,
      model: text,
      user_id: text,
      repository: text,
      branch: text,
      queue_wait_ms: z.number(),
      turn_ms: z.number(),
      time_to_first_token_ms: z.number().nullable(),
      tool_errors: z.number().nullable(),
      tokens_input: z.number().nullable(),
      tokens_output: z.number().nullable(),
      cost_usd: z.number().nullable(),
      calls_without_usage: z.number().nullable().describe("Above 0, the tokens are a lower bound"),
      calls_without_cost: z.number().nullable().describe("Above 0, the cost is a lower bound"),
      files_changed: z.number().nullable(),
    }),
  ),
  has_more: z.boolean(),
  notes,
});

const Percentiles = Distribution.pick({ known: true, partial: true, sum: true, p50: true, p90: true, p99: true });
const Group = z.object({
  keys: z.record(z.string(), text),
  turns: z.number(),
  outcomes: z.record(z.string(), z.number()),
  measures: z.record(z.enum(MEASURES), Percentiles) as z.ZodType<Record<Measure, z.infer<typeof Percentiles>>>,
});

export const StatsOutput = z.object({
  from: time,
  to: time,
  error_bound: z.number().describe("The relative error of percentiles, at most"),
  total: Group,
  groups: z.array(Group),
  notes,
});

export const SessionsOutput = z.object({
  sessions: z.array(
    SessionView.pick({ id: true, queueLength: true, status: true, agent: true }).extend({
      createdAt: time,
      title: z.string().optional(),
      repoUrl: z.string().optional(),
      branch: z.string().optional(),
      parentSessionId: z.string().optional(),
      errorType: z.string().optional(),
      attention: z.string().optional().describe("Its verdict, if it needs attention"),
    }),
  ),
  notes,
});
