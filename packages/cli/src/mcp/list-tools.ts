/** The tools that list: sessions, messages, turns across sessions and their statistics. */
import type { MessageView } from "@valet/shared/protocol/session-view";
import { STATS_KEYS, TURN_SORTS, TurnsQuery } from "@valet/shared/protocol/turn-stats";
import { cutEnd } from "@valet/shared/text";
import { withoutUndefined } from "@valet/shared/without-undefined";
import { z } from "zod";
import { sessionLines } from "../commands/sessions.ts";
import { queryOf } from "../commands/turns.ts";
import { findMessageId } from "../find-id.ts";
import { queueText } from "../queue-text.ts";
import { statsLines } from "../turns-plots.ts";
import { FOUND_BY_CAUSE, NO_TURNS, sortedNotes, turnLines } from "../turns-table.ts";
import { answerText } from "../wait.ts";
import * as args from "./arguments.ts";
import { SessionsOutput, StatsOutput, TurnsOutput } from "./outputs.ts";
import { defineTool, READS, type Tool } from "./tool.ts";
import { quoted } from "./tool-result.ts";

/** The width of tables, in characters. */
const WIDTH = 200;
/** How much of a message and of its answer a list shows, in UTF-16 code units. */
const MAX_SHOWN = 600;
/** The same if a single message is asked for; the result's own limit is larger. */
const MAX_WHOLE = 8000;

const sessions = defineTool({
  name: "sessions",
  title: "List sessions",
  description:
    "Lists the newest sessions with their ids, status, repository, and whether they need attention: all, or with `search` those of any " +
    "age in whose title, repository, branch, user, model or id each of its words is found.",
  input: z.strictObject({
    search: z.string().min(1).max(200).optional().describe("Words that must all be found"),
    limit: args.limit(100, 20),
  }),
  output: SessionsOutput,
  effects: READS,
  run: async (api, { search, limit }) => {
    const found = search === undefined ? await api.newestSessions(limit) : (await api.sessions(search)).slice(0, limit);
    const lines = sessionLines(found, ({ title, repoUrl }) => title ?? repoUrl ?? "");
    return {
      lines: lines.length === 0 ? [search === undefined ? "No sessions yet." : "No session matches."] : lines,
      data: {
        sessions: found.map(({ attention, ...each }) => ({
          ...each,
          ...(attention && { attention: attention.state }),
        })),
      },
      notes: found.length === limit ? ["There may be older sessions: ask with a larger `limit`."] : [],
      more: "Ask with a smaller `limit`.",
    };
  },
});

const messages = defineTool({
  name: "messages",
  title: "Read the messages of a session",
  description:
    "Lists the last messages of a session with their outcomes and answers, oldest first; lines that begin with `|` are what was asked " +
    "and answered. Long texts are cut: with `message` one is shown in full.",
  input: z.strictObject({ session: args.session, limit: args.limit(50, 5), message: args.message.optional() }),
  effects: READS,
  run: async (api, { session, limit, message: id }) => {
    const more = "Ask with a smaller `limit`, or for one with `message`.";
    if (id === undefined) {
      const last = await api.lastMessages(session, limit);
      const lines = last.flatMap((each) => messageLines(each, MAX_SHOWN));
      return { lines: lines.length === 0 ? ["No messages yet."] : lines, more };
    }
    const messageId = await findMessageId(api, session, id);
    const found = await api.message(session, messageId);
    return found === undefined
      ? { lines: [`Session ${session} has no message ${messageId}.`] }
      : { lines: messageLines(found, MAX_WHOLE) };
  },
});

function messageLines(message: MessageView, most: number): string[] {
  const { id, acceptedAt, status, outcome, errorType, outcomeReason, failure, author, source, channel, content } =
    message;
  const result = [outcome, errorType ?? outcomeReason].filter((each) => each !== undefined).join(", ");
  const state = status === "done" ? result : status === "queued" ? queueText(message) : status;
  const answer = answerText(message);
  const show = (text: string) => quoted(cutEnd(text, most));
  return [
    [acceptedAt, id, state, `from ${author?.name ?? author?.id ?? source}`, `channel ${channel}`].join("  "),
    ...show(content),
    ...(failure === undefined ? [] : [`failure: ${failure.type}`, ...show(failure.message)]),
    ...(answer === "" ? [] : ["answer:", ...show(answer)]),
  ];
}

const age = z
  .string()
  .regex(/^(?:\d{1,6}[mhd]|\d{4}-\d\d-\d\dT.*)$/, "an ISO time (2026-11-27T08:00:00Z), or an age such as 30m, 24h, 7d");
const { user, repository, branch, model, outcome, channel, tool } = TurnsQuery.shape;
const filters = {
  session: args.session.optional(),
  user,
  repository,
  branch,
  model,
  outcome,
  // A name of the API's list, which is too long for every model's context.
  error: z.string().max(100).optional().describe("Only turns with this error type, such as `git_clone_failed`"),
  channel,
  tool,
  parent: args.parent.optional(),
  from: age.optional().describe("Only turns that ended since: an ISO time, or an age such as 30m, 24h, 7d"),
  to: age.optional().describe("Only turns that ended before: as for `from`"),
};

const turns = defineTool({
  name: "turns",
  title: "List finished turns",
  description:
    "Lists finished turns across sessions, newest first or sorted by what they took or cost, with filters: who, which repository, " +
    "which model, which outcome or error, when.",
  input: z.strictObject({
    ...filters,
    sort: z.enum(TURN_SORTS).optional().describe("What to sort by, the largest first; `time` by default"),
    limit: args.limit(50, 10),
  }),
  output: TurnsOutput,
  effects: READS,
  run: async (api, { session, sort, limit, ...given }) => {
    const query = queryOf(session, withoutUndefined(given), await api.timeFor(given.from, given.to));
    const found = await api.ownerTurns({ ...query, ...(sort && { sort }) }, limit);
    const { turns, hasMore } = found;
    // Says so if there is no such session.
    if (turns.length === 0 && session !== undefined) await api.session(session);
    return {
      lines: turns.length === 0 ? [NO_TURNS] : turnLines(turns, WIDTH, false),
      data: { turns, has_more: hasMore },
      notes: [
        ...(turns.length === 0 && query.error !== undefined ? [FOUND_BY_CAUSE] : []),
        ...(hasMore ? ["There are more turns: ask with a larger `limit`, or narrower filters."] : []),
        ...sortedNotes(found, "choose a shorter one"),
      ],
      more: "Ask with a smaller `limit`, or narrower filters.",
    };
  },
});

const stats = defineTool({
  name: "stats",
  title: "Statistics of turns",
  description:
    "Counts finished turns across sessions and gives percentiles (p50, p90, p99) of wait, first token, duration, cost and tokens, " +
    `grouped by one or two keys and by day. Keys: ${STATS_KEYS.join(", ")}.`,
  input: z.strictObject({
    ...filters,
    by: z.array(z.enum(STATS_KEYS)).max(3).optional().describe("What to group by: one or two keys, and `day`"),
  }),
  output: StatsOutput,
  effects: READS,
  run: async (api, { session, by = [], ...given }) => {
    const query = queryOf(session, withoutUndefined(given), await api.timeFor(given.from, given.to));
    const found = await api.turnStats({ ...query, ...(by.length > 0 && { by: by.join(",") }) });
    return {
      lines: statsLines(found, WIDTH),
      data: { ...found },
      notes: found.total.turns === 0 && query.error !== undefined ? [FOUND_BY_CAUSE] : [],
      more: "Ask with fewer keys or narrower filters.",
    };
  },
});

export const LIST_TOOLS: readonly Tool[] = [sessions, messages, turns, stats];
