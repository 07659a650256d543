/** The tools that answer: what needs a person, what a session does now, why a message took so long, what came out. */
import { whyLines } from "@valet/shared/answers/why/lines";
import { DiffQuery } from "@valet/shared/protocol/changes";
import type { NowView } from "@valet/shared/protocol/now";
import type { Part, WhyView } from "@valet/shared/protocol/why";
import { withoutUndefined } from "@valet/shared/without-undefined";
import { z } from "zod";
import { statLines } from "../diff-text.ts";
import { UserError } from "../errors.ts";
import { askAboutTurns } from "../find-id.ts";
import { findWhy } from "../find-why.ts";
import { attentionLines, nowLines } from "../now-text.ts";
import { readDiff } from "../read-diff.ts";
import * as args from "./arguments.ts";
import { AttentionOutput, NowOutput, WhyOutput } from "./outputs.ts";
import { defineTool, READS, type Tool } from "./tool.ts";
import { quoted } from "./tool-result.ts";

/** The width of tables and of wrapped text, in characters. */
const WIDTH = 160;

const attention = defineTool({
  name: "attention",
  title: "What needs attention",
  description:
    "Lists the sessions that wait for a person, are quiet or stuck, or have failed, oldest first, with the reason and the next " +
    "step. Begin here if no session is named.",
  input: z.strictObject({}),
  output: AttentionOutput,
  effects: READS,
  run: async (api) => {
    const items = await api.attention();
    return { lines: attentionLines(items), data: { items }, more: "`now` with a session's id shows one of them." };
  },
});

const now = defineTool({
  name: "now",
  title: "What a session does now",
  description:
    "Says what a session does or waits for at this moment: its verdict (idle, working, waiting_for_person, waiting_for_sandbox, " +
    "waiting_for_capacity, quiet, stuck, failed), since when, by which rule, what to do, what runs, the queue, open requests to a " +
    "person with their ids, the cost.",
  input: z.strictObject({ session: args.session }),
  output: NowOutput,
  effects: READS,
  run: async (api, { session }) => {
    const view = await api.now(session);
    return { lines: [...nowLines(view), ...requestLines(view)], data: view };
  },
});

const why = defineTool({
  name: "why",
  title: "Why a message took so long, cost so much, or failed",
  description:
    "Says where the time and the money of a message or a workflow went, along its critical path, and the first cause if it " +
    "failed; for an unfinished one, until now. With only a session: of its running message or workflow; if none " +
    "is running, of the first in the queue; if the queue is empty, of the last job that ended. " +
    "Parts are named with the trace and span that explain them: `span` shows one.",
  input: z.strictObject({
    session: args.session.optional(),
    message: args.message
      .optional()
      .describe("The id of a message or of a workflow's execution; with its session it is found faster"),
  }),
  output: WhyOutput,
  effects: READS,
  run: async (api, { session, message }) => {
    const id = message ?? session;
    if (id === undefined)
      throw new UserError("Give `session`, `message`, or both. The tool `sessions` lists sessions.");
    const view = await findWhy(api, id, message === undefined ? undefined : session);
    return { lines: whyLines(view, WIDTH), data: summary(view), more: "`trace` shows the spans behind the parts." };
  },
});

/** Returns the agent's open requests, with the ids that `reply` needs. */
function requestLines({ permissions, questions }: NowView): string[] {
  return [
    ...permissions.flatMap(({ id, permission, detail }) => [
      `open permission request ${id}, for ${permission}:`,
      ...quoted(detail),
    ]),
    ...questions.flatMap(({ id, questions: asked }) => [
      `open questions ${id}:`,
      ...asked.flatMap(({ question, options }) => [
        ...quoted(question),
        ...options.flatMap(({ label }) => quoted(`  - ${label}`)),
      ]),
    ]),
  ];
}

function summary({ time, money, ...view }: WhyView): Record<string, unknown> {
  return { ...view, wall_ms: time.wall_ms, parts: time.parts.map(partOf), money, avoidable: money.avoidable };
}

function partOf({ spans, ...part }: Part): Record<string, unknown> {
  const [largest] = spans;
  return { ...part, traceId: largest?.traceId ?? null, spanId: largest?.spanId ?? null };
}

const diff = defineTool({
  name: "diff",
  title: "What turns changed",
  description:
    "Shows what the last turn of a session, or several turns, changed in its workspace: commits, branch, files, lines, and the patch. It " +
    "works while the session sleeps.",
  input: z.strictObject({ session: args.session, ...DiffQuery.shape }),
  effects: READS,
  run: async (api, { session, ...range }) => {
    const found = await askAboutTurns(api, session, range, (asked) => readDiff(api, session, withoutUndefined(asked)));
    return {
      lines: [...statLines(found), ...(found.patch === "" ? [] : ["patch:", ...quoted(found.patch)])],
      more: `Ask for fewer turns with \`from\` and \`to\`; \`valet diff ${session}\` prints the whole patch.`,
    };
  },
});

export const ANSWER_TOOLS: readonly Tool[] = [attention, now, why, diff];
