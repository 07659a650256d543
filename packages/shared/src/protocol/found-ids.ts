/** What ids begin with a text: people give ids by their beginning. */
import { z } from "zod";

/** How many ids an answer names. */
export const MAX_FOUND_IDS = 10;

export const ID_KINDS = ["session", "message", "workflow", "turn", "trace"] as const;
export type IdKind = (typeof ID_KINDS)[number];

/** What the ids of a kind begin with if Valet made them; people may leave it out. Traces have none. */
export const ID_PREFIXES: Readonly<Record<Exclude<IdKind, "trace">, string>> = {
  session: "ses_",
  message: "msg_",
  workflow: "wfl_",
  turn: "att_",
};

export const FoundIdsQuery = z.strictObject({
  prefix: z
    .string()
    .regex(/^[\w.:-]{1,128}$/, "1 to 128 letters, digits, `_`, `.`, `:` or `-`")
    .describe(
      "The beginning of an id, with or without what the ids of its kind begin with (`ses_`, `msg_`, `wfl_`, `att_`)",
    ),
});

export const FoundId = z.object({
  kind: z.enum(ID_KINDS),
  id: z.string(),
  at: z.iso.datetime().nullable().describe("When it was created, accepted or began; null for a turn"),
  title: z.string().nullable().describe("The session's title, or the trace's name"),
});
export type FoundId = z.infer<typeof FoundId>;

export const FoundIds = z.object({
  ids: z
    .array(FoundId)
    .describe(`At most ${MAX_FOUND_IDS} sessions, jobs (messages and workflows), turns and traces each`),
  hasMore: z.boolean().describe("Whether there are more"),
});
export type FoundIds = z.infer<typeof FoundIds>;
