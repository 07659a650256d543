/** The Worker: its HTTP side, its upkeep, and the objects of sessions and of brokers. */
import type { Env } from "./bindings.ts";
import { createApp } from "./http/app.ts";
import { runUpkeep } from "./upkeep/upkeep.ts";

export { Capacity } from "./durable-objects/capacity/capacity.ts";
export { SessionAgent } from "./durable-objects/session-agent.ts";

export default {
  fetch: createApp().fetch,
  scheduled: (_controller, env) => runUpkeep(env),
} satisfies ExportedHandler<Env>;
