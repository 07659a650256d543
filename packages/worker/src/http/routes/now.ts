import { createRoute } from "@hono/zod-openapi";
import { agedVerdict } from "@valet/shared/answers/verdict/verdict";
import { AttentionList, AttentionQuery, NowView } from "@valet/shared/protocol/now";
import { MAX_PAGE } from "@valet/shared/protocol/session-api";
import { listAttention } from "../../database/attention.ts";
import { cursorOf } from "../../durable-objects/core/cursor.ts";
import { agentOf, createRoutes } from "../context.ts";
import { decodeCursor } from "../cursor.ts";
import { answer, PROBLEM, SESSION_PATH, SessionParams } from "../openapi.ts";
import { unwrap } from "../problem.ts";

export const now = createRoutes();

/** In cursors. */
const LIST = "attention";

now.openapi(
  createRoute({
    method: "get",
    path: `${SESSION_PATH}/now`,
    operationId: "getNow",
    summary: "Shows what the session does or waits for now, with a verdict",
    description:
      "The verdict says since when, why, by which rule and threshold, and what to do. `running` has each message and workflow that runs, " +
      "with the steps that it waits for: the tool or the model, its age, and when it was last heard.",
    request: { params: SessionParams },
    responses: { 200: answer(NowView, "What it does"), default: PROBLEM },
  }),
  async (c) => c.json(unwrap(await agentOf(c).now()), 200),
);

now.openapi(
  createRoute({
    method: "get",
    path: "/api/attention",
    operationId: "listAttention",
    summary: "Lists your sessions that wait for a person, are quiet or stuck, or have failed, oldest first",
    description:
      "A session reports a change of its verdict itself, by time alone too, so the list lags some seconds behind; `/now` of a session is exact.",
    request: { query: AttentionQuery },
    responses: { 200: answer(AttentionList, "A page of sessions"), default: PROBLEM },
  }),
  async (c) => {
    const { cursor, limit = MAX_PAGE } = c.req.valid("query");
    const [since, id] = cursor === undefined ? [] : decodeCursor(LIST, cursor, 2);
    const after = since === undefined || id === undefined ? undefined : { since, id };
    // One item more than requested shows whether there is a next page.
    const found = await listAttention(c.env.DB, c.var.ownerId, limit + 1, after);
    const nowMs = Date.now();
    const items = found.slice(0, limit).map((item) => ({ ...item, verdict: agedVerdict(item.verdict, nowMs) }));
    const last = items.at(-1);
    const hasMore = found.length > items.length && last !== undefined;
    return c.json({ items, ...(hasMore && { nextCursor: cursorOf(LIST, last.verdict.since, last.sessionId) }) }, 200);
  },
);
