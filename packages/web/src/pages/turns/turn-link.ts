/** Where a turn is looked at: its message, on the page of its session. Pure. */
import type { Schemas } from "../../api/client.ts";

/** Returns the router's options of a link. */
export function turnLink({ session_id, message_ids }: Schemas["TurnRecord"]) {
  const [message] = message_ids;
  return {
    to: "/sessions/$sessionId",
    params: { sessionId: session_id },
    search: message === undefined ? {} : { message },
  } as const;
}
