/** Where a turn is looked at: its trace. Pure. */
import type { Schemas } from "../../api/client.ts";

/** Returns the router's options of a link. */
export function turnLink({ session_id, trace_id }: Schemas["TurnRecord"]) {
  const params = { sessionId: session_id, traceId: trace_id };
  return { to: "/sessions/$sessionId/traces/$traceId", params } as const;
}
