/** The Worker: its HTTP side, and the objects of sessions and of brokers. */
import { createApp } from "./http/app.ts";

export { Capacity } from "./durable-objects/capacity/capacity.ts";
export { SessionAgent } from "./durable-objects/session-agent.ts";

export default createApp();
