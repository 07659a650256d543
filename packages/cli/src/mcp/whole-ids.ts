/** Replaces ids in a tool's arguments that are given by their beginning. */
import type { ApiClient } from "../api-client.ts";
import { findSessionId, findTraceId } from "../find-id.ts";

/** The arguments of tools that are ids. The other ids, those of spans and of an agent's requests, belong to a tool of their own. */
type Arguments = Readonly<Record<string, unknown>>;

/**
 * Returns the arguments with whole ids. Those of messages are left to the tools, which know whether a workflow may be meant.
 * @throws UserError if nothing, or several things, have ids that begin so
 */
export async function withWholeIds(api: Pick<ApiClient, "findIds">, given: Arguments): Promise<Arguments> {
  const { session, parent, trace } = given;
  const found: Record<string, string> = {};
  if (typeof parent === "string") found.parent = await findSessionId(api, parent);
  if (typeof session !== "string") return { ...given, ...found };
  const sessionId = await findSessionId(api, session);
  found.session = sessionId;
  if (typeof trace === "string") found.trace = await findTraceId(api, sessionId, trace);
  return { ...given, ...found };
}
