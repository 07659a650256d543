/** Turns across sessions: their lists, and statistics of them. */
import { z } from "zod";
import { FAILURE_TYPES, OUTCOMES } from "../spans.ts";
import { PageQuery, SessionId } from "./session-api.ts";
import { TurnRecord } from "./session-view.ts";

/** The keys by which statistics group turns. */
export const STATS_KEYS = [
  "user",
  "repository",
  "branch",
  "channel",
  "model",
  "outcome",
  "error",
  "session",
  "parent",
  "tool",
  "day",
] as const;
export type StatsKey = (typeof STATS_KEYS)[number];

/** The measures of turns, by the column of the record. */
export const MEASURES = [
  "queue_wait_ms",
  "time_to_first_token_ms",
  "turn_ms",
  "cost_usd",
  "tokens_input",
  "tokens_output",
] as const;
export type Measure = (typeof MEASURES)[number];

/** What a list of turns can be sorted by. `tokens` is the sum of input and output. */
export const TURN_SORTS = ["time", "wait", "first_token", "duration", "cost", "tokens"] as const;
export type TurnSort = (typeof TURN_SORTS)[number];

/** How many turns exact statistics and sorted lists read at most, and how long their period may be, in days. */
export const MAX_EXACT_TURNS = 10_000;
export const MAX_EXACT_DAYS = 31;

const label = z.string().min(1).max(200);
const time = z.iso.datetime({ offset: true });

const filters = {
  user: label.describe("Only turns for this user").optional(),
  repository: z
    .string()
    .min(1)
    .max(2000)
    .describe("Only turns on this repository: its URL, with or without `.git`")
    .optional(),
  branch: label.describe("Only turns of sessions that were created with this branch or ref").optional(),
  model: label.describe("Only turns that this model, as `provider/model`, answered").optional(),
  outcome: z.enum(OUTCOMES).describe("Only turns with this outcome").optional(),
  error: z
    .enum(FAILURE_TYPES)
    .describe("Only turns that failed because of this: `error_cause` where it is known, else `error_type`")
    .optional(),
  channel: label.describe("Only turns in channels of this name").optional(),
  tool: label.describe("Only turns that used this tool").optional(),
  sessionId: SessionId.describe("Only turns of this session").optional(),
  parentSessionId: SessionId.describe("Only turns of the children of this session").optional(),
  from: time.describe("Only turns that ended at this time or later").optional(),
  to: time.describe("Only turns that ended before this time").optional(),
};

export const TurnsQuery = PageQuery.extend({
  ...filters,
  sort: z
    .enum(TURN_SORTS)
    .describe(
      `The order: \`time\`, the default, begins with the turn that ended last; any other with the largest value. Others sort the turns of at most ${MAX_EXACT_DAYS} days, by default the last ones, and of these at most the ${MAX_EXACT_TURNS} newest; turns without the value are left out`,
    )
    .optional(),
});
export type TurnsQuery = z.infer<typeof TurnsQuery>;

export const TurnStatsQuery = z.strictObject({
  ...filters,
  by: z
    .string()
    .regex(/^[a-z]+(?:,[a-z]+){0,2}$/, "one or two keys, and `day`, separated by commas")
    .refine(
      (text) => text.split(",").every((key) => STATS_KEYS.includes(key as StatsKey)),
      `the keys are ${STATS_KEYS.join(", ")}`,
    )
    .refine((text) => new Set(text.split(",")).size === text.split(",").length, "each key may be named once")
    .refine((text) => text.split(",").filter((key) => key !== "day").length <= 2, "at most two keys besides `day`")
    .describe(
      `What to group by: one or two of ${STATS_KEYS.slice(0, -1).join(", ")}, and \`day\` (UTC). A turn is in the group of each \`tool\` that it used, and in none if it used none or its tools are unknown`,
    )
    .optional(),
  exact: z
    .literal("true")
    .describe(
      `Reads the turns themselves instead of the rollups, if the period has at most ${MAX_EXACT_DAYS} days and ${MAX_EXACT_TURNS} turns`,
    )
    .optional(),
});
export type TurnStatsQuery = z.infer<typeof TurnStatsQuery>;

export const OwnerTurns = z.object({
  turns: z.array(TurnRecord),
  sorted: z
    .object({ from: z.iso.datetime(), to: z.iso.datetime() })
    .optional()
    .describe(
      "Of a sorted list: the period whose turns were sorted. Turns that ended before or after it are not in the list",
    ),
  partial: z
    .literal(true)
    .optional()
    .describe(`Of a sorted list: the period has more than ${MAX_EXACT_TURNS} turns, and only the newest were sorted`),
  nextCursor: z
    .string()
    .optional()
    .describe("Absent on the last page. A page may have few turns or none and still not be the last"),
});
export type OwnerTurns = z.infer<typeof OwnerTurns>;

const amount = z.number().nonnegative();

/** How the values of one measure are distributed. */
export const Distribution = z.object({
  known: z.int().nonnegative().describe("How many turns have a value"),
  partial: z
    .int()
    .positive()
    .optional()
    .describe(
      "How many of these values are lower bounds, since some calls of the turn have no known cost or tokens; absent for none",
    ),
  sum: amount
    .nullable()
    .describe(
      "The sum of the known values, exact; null when none is known, or when a cost or tokens add up to 0 and some are unknown. A cost or tokens of which some are unknown or partial are a lower bound",
    ),
  p50: amount.nullable(),
  p90: amount.nullable(),
  p99: amount.nullable(),
  bars: z
    .array(z.object({ from: amount, to: amount, turns: z.int().nonnegative() }))
    .describe("A histogram: turns with a value above `from`, up to `to`; `to` is 0 for the value 0"),
});
export type Distribution = z.infer<typeof Distribution>;

export const TurnGroup = z.object({
  keys: z
    .partialRecord(z.enum(STATS_KEYS), z.string().nullable())
    .describe("The values of the keys in `by`; null if unknown or none"),
  turns: z.int().nonnegative(),
  outcomes: z.partialRecord(z.enum(OUTCOMES), z.int().positive()).describe("How many turns had each outcome"),
  measures: z.object(
    Object.fromEntries(MEASURES.map((name) => [name, Distribution])) as Record<Measure, typeof Distribution>,
  ),
});
export type TurnGroup = z.infer<typeof TurnGroup>;

export const TurnStats = z.object({
  from: z.iso.datetime().describe("The period that was read. With rollups it is widened to whole hours"),
  to: z.iso.datetime(),
  source: z
    .enum(["rollups", "turns"])
    .describe("`rollups`: hourly histograms; `turns`: the turns themselves, whose percentiles are exact"),
  error_bound: amount.describe(
    "The relative error of percentiles, at most; 0 if they are exact. Counts and sums are always exact",
  ),
  incomplete: z
    .literal(true)
    .optional()
    .describe("The rollups lack turns from before an upgrade, which are still being added to them"),
  by: z.array(z.enum(STATS_KEYS)),
  total: TurnGroup,
  groups: z
    .array(TurnGroup)
    .describe("By day if `by` has it, then by the number of turns, largest first; empty without `by`"),
  groups_left_out: z.int().positive().optional().describe("How many groups with few turns are left out"),
});
export type TurnStats = z.infer<typeof TurnStats>;
