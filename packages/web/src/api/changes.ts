/** What a person does to a session. Each returns when the API has taken it. */
import { randomId } from "../format/random-id.ts";
import { api, ok, type Schemas } from "./client.ts";

export function createSession(body: Schemas["CreateSession"]) {
  return ok(api.POST("/api/sessions", { body }));
}

export function sendMessage(id: string, body: Schemas["SendMessage"]) {
  return ok(api.POST("/api/sessions/{id}/messages", { params: { path: { id } }, body }));
}

/** Takes back a message that still waits. */
export function withdrawMessage(id: string, messageId: string) {
  return ok(api.DELETE("/api/sessions/{id}/messages/{messageId}", { params: { path: { id, messageId } } }));
}

export function abortSession(id: string) {
  return ok(api.POST("/api/sessions/{id}/abort", { params: { path: { id } } }));
}

export function wakeSession(id: string) {
  return ok(api.POST("/api/sessions/{id}/wake", { params: { path: { id } } }));
}

export function replyToPermission(id: string, permissionId: string, reply: Schemas["ReplyPermission"]["reply"]) {
  const path = { id, permissionId };
  return ok(api.POST("/api/sessions/{id}/permissions/{permissionId}", { params: { path }, body: { reply } }));
}

/** @param answers to each question, in order; `null` declines to answer */
export function replyToQuestion(id: string, questionId: string, answers: Schemas["ReplyQuestion"]["answers"]) {
  const path = { id, questionId };
  return ok(api.POST("/api/sessions/{id}/questions/{questionId}", { params: { path }, body: { answers } }));
}

/** Sends the newest message again, as a new one. @throws ApiError if the session has none that ended */
export async function retryLastMessage(id: string) {
  const query = { order: "desc" as const };
  const { messages } = await ok(api.GET("/api/sessions/{id}/messages", { params: { path: { id }, query } }));
  const last = messages.find(({ status }) => status === "done");
  if (last === undefined) throw new Error("The session has no message that could be sent again.");
  if (last.attachments.length > 0) {
    throw new Error("The last message had attachments, which are not kept: send it again from the session, with them.");
  }
  const { content, channel, model, queueMode } = last;
  return sendMessage(id, { content, channel, queueMode, ...(model !== undefined && { model }) });
}

/** Returns a new session id. The sender chooses it, so that a request that is sent twice creates one session. */
export function newSessionId(): string {
  return randomId("ses_");
}

/** Returns a new message id, for the same reason. */
export function newMessageId(): string {
  return randomId("msg_");
}
