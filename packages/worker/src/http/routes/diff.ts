import { createRoute } from "@hono/zod-openapi";
import { DiffQuery, DiffView } from "@valet/shared/protocol/changes";
import { z } from "zod";
import { agentOf, createRoutes } from "../context.ts";
import { joinDiff, ofFile, patchBytes, unpackPatches } from "../diff-answer.ts";
import { answer, PROBLEM, SESSION_PATH, SessionParams } from "../openapi.ts";
import { unwrap } from "../problem.ts";

export const diff = createRoutes();

const PATCH_TYPE = "text/x-diff";

const showDiff = createRoute({
  method: "get",
  path: `${SESSION_PATH}/diff`,
  operationId: "getDiff",
  summary: "Shows what a turn changed in the repository, or several turns",
  description:
    "By default the last turn. It works while the session sleeps: the session stores what each turn changed. Files over 1 MiB and binary " +
    "files are in the lists by their names only. The patch of several turns is that of each, in order, as `git apply` takes them. With " +
    "`Accept: text/x-diff` the answer is the patch alone, byte by byte.",
  request: { params: SessionParams, query: DiffQuery },
  responses: {
    200: {
      description: "The changes",
      content: { ...answer(DiffView, "").content, [PATCH_TYPE]: { schema: z.string() } },
    },
    default: PROBLEM,
  },
});
diff.openapi(showDiff, async (c) => {
  const query = c.req.valid("query");
  const { turns, ...rest } = unwrap(await agentOf(c).readDiff(query));
  const { file } = query;
  const whole = await unpackPatches(turns);
  const unpacked = file === undefined ? whole : whole.map((turn) => ofFile(turn, file));
  if (!wantsPatch(c.req.header("accept") ?? "")) return c.json(joinDiff({ ...rest, turns: unpacked }), 200);
  return c.body(patchBytes(unpacked), 200, { "content-type": PATCH_TYPE }) as never;
});

/** Returns whether a caller prefers the patch: JSON is the answer to whoever accepts both. */
function wantsPatch(accept: string): boolean {
  const types = accept.split(",").map((each) => each.split(";", 1)[0]?.trim().toLowerCase());
  return types.includes(PATCH_TYPE) && !types.includes("application/json");
}
