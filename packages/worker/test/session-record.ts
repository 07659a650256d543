import { NO_LINK, type SessionRecord } from "../src/durable-objects/core/session-state.ts";

/** The record of a session that has just been created. */
export const NEW_SESSION: Omit<SessionRecord, "createdMs" | "updatedMs"> = {
  id: "ses_1",
  ownerId: "own_1",
  state: "created",
  generation: 0,
  link: NO_LINK,
  models: [],
  queueMode: "followup",
  idleTimeoutMs: 1,
  recovery: { attempts: 0, readyMs: 0 },
};
