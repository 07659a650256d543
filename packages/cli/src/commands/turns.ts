import { STATS_KEYS, TURN_SORTS } from "@valet/shared/protocol/turn-stats";
import { OUTCOMES } from "@valet/shared/spans";
import { type Command, Option } from "commander";
import type { ApiClient } from "../api-client.ts";
import { connect, type GlobalOptions, print, printJson, printLines, report } from "../context.ts";
import { timeOf } from "../duration-arguments.ts";
import { UserError } from "../errors.ts";
import { findSessionId } from "../find-id.ts";
import { paintTurn } from "../paint.ts";
import { terminalOf } from "../terminal.ts";
import { statsLines } from "../turns-plots.ts";
import { FOUND_BY_CAUSE, NO_TURNS, sortedNotes, turnLines } from "../turns-table.ts";
import { parseLimit } from "./arguments.ts";

/** The options that are filters of the API, by the API's name. */
const FILTERS = {
  user: "only turns for this user",
  repository: "only turns on the repository with this URL",
  branch: "only turns of sessions on this branch or ref",
  model: "only turns that this model answered, as `provider/model`",
  outcome: `only turns with this outcome: ${OUTCOMES.join(", ")}`,
  error: "only turns with this first cause: why the last model or the first failed step failed, if that is known",
  channel: "only turns in channels of this name",
  tool: "only turns that used this tool",
  parent: "only turns of the children of this session",
} as const;

interface TurnsOptions extends GlobalOptions, Partial<Record<keyof typeof FILTERS, string>> {
  readonly from?: string;
  readonly to?: string;
  readonly sort?: string;
  readonly limit: number;
  readonly stats?: boolean;
  readonly by?: string;
  readonly exact?: boolean;
}

const EXAMPLES = `
Examples:
  valet turns                                       the last turns of all sessions
  valet turns <session> --sort cost                 the turns of one session, the most expensive first
  valet turns --outcome error --from 24h            the failed turns of the last 24 hours
  valet turns --stats --from 30d                    percentiles and histograms of the last 30 days
  valet turns --by user,model --from 7d             the same for each user and model
  valet turns --by tool                             the same for each tool: a turn counts in each that it used

Exit codes: 0 success; 2 usage or environment error.`;

export function addTurns(program: Command): void {
  const command = program
    .command("turns [session]")
    .description("list finished turns across sessions, or summarize them with plots");
  for (const [name, description] of Object.entries(FILTERS)) command.option(`--${name} <${name}>`, description);
  command
    .option("--from <time>", "only turns that ended since: an ISO time, or an age such as 30m, 24h, 7d")
    .option("--to <time>", "only turns that ended before: as for --from")
    .addOption(
      new Option(
        "--sort <order>",
        "what to sort by, the largest first: turns of 31 days, the last ones by default",
      ).choices(TURN_SORTS),
    )
    .addOption(new Option("--limit <n>", "how many turns to list").argParser(parseLimit).default(20))
    .addOption(
      new Option("--stats", "counts, percentiles and histograms instead of a list").conflicts(["sort", "limit"]),
    )
    .addOption(
      new Option("--by <keys>", `the same, grouped by one or two keys, and by day: ${STATS_KEYS.join(", ")}`).conflicts(
        ["sort", "limit"],
      ),
    )
    .option("--exact", "percentiles of the turns themselves: at most 31 days and 10,000 turns")
    .addHelpText("after", EXAMPLES)
    .action(async (session: string | undefined, _options, self: Command) => {
      const options = self.optsWithGlobals<TurnsOptions>();
      const wantsStats = options.stats === true || options.by !== undefined;
      if (options.exact && !wantsStats) {
        throw new UserError("--exact is about percentiles: add --stats, or --by.", { type: "usage" });
      }
      const api = connect(options);
      const sessionId = session === undefined ? undefined : await findSessionId(api, session);
      const parent = options.parent === undefined ? undefined : await findSessionId(api, options.parent);
      const nowMs = await api.timeFor(options.from, options.to);
      const query = queryOf(sessionId, { ...options, ...(parent !== undefined && { parent }) }, nowMs);
      if (wantsStats) await showStats(api, query, options);
      else await showTurns(api, query, sessionId, options);
    });
}

type Query = Readonly<Record<string, string>>;

async function showStats(api: ApiClient, query: Query, { json, by, exact }: TurnsOptions): Promise<void> {
  const stats = await api.turnStats({
    ...query,
    ...(by !== undefined && { by }),
    ...(exact && { exact: "true" }),
  });
  if (json) printJson(stats);
  else printLines(statsLines(stats, widthOf()), { tooLong: "cut" });
  if (!json && stats.total.turns === 0 && query.error !== undefined) report(FOUND_BY_CAUSE);
}

async function showTurns(
  api: ApiClient,
  query: Query,
  sessionId: string | undefined,
  { json, sort, limit }: TurnsOptions,
): Promise<void> {
  const found = await api.ownerTurns({ ...query, ...(sort !== undefined && { sort }) }, limit);
  const { turns, hasMore, sorted = null, isPartial } = found;
  // Says so if there is no such session.
  if (turns.length === 0 && sessionId !== undefined) await api.session(sessionId);
  if (json) {
    printJson({ turns, has_more: hasMore, sorted, partial: isPartial });
    return;
  }
  if (turns.length === 0) print(NO_TURNS);
  else printLines(turnLines(turns, widthOf(), sessionId !== undefined), { paint: paintTurn, tooLong: "cut" });
  if (turns.length === 0 && query.error !== undefined) report(FOUND_BY_CAUSE);
  for (const note of sortedNotes(found, "choose a shorter one with --from and --to")) report(note);
  if (hasMore) report(`There are more turns: --limit ${limit * 2}.`);
}

/** Returns the query of the API. @throws UserError if a time cannot be read */
export function queryOf(sessionId: string | undefined, options: Partial<TurnsOptions>, nowMs: number): Query {
  const { parent: parentSessionId, from, to } = options;
  const named = Object.keys(FILTERS).flatMap((name) => {
    const value = options[name as keyof typeof FILTERS];
    return name === "parent" || value === undefined ? [] : [[name, value]];
  });
  return {
    ...Object.fromEntries(named),
    ...(sessionId !== undefined && { sessionId }),
    ...(parentSessionId !== undefined && { parentSessionId }),
    ...(from !== undefined && { from: timeOf("--from", from, nowMs) }),
    ...(to !== undefined && { to: timeOf("--to", to, nowMs) }),
  };
}

/** Returns how many columns there are; a pipe has no end. */
function widthOf(): number {
  return terminalOf(process.stdout, process.env).columns ?? Number.POSITIVE_INFINITY;
}
