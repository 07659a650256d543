/** The Worker: its HTTP side, and the object of each session. */
import { createApp } from "./app.ts";

export { SessionAgent } from "./durable-objects/session-agent.ts";

export default createApp();
