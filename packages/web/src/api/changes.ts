/** What a person does to a session. Each returns when the API has taken it. */
import { api, ok, type Schemas } from "./client.ts";

export function createSession(body: Schemas["CreateSession"]) {
  return ok(api.POST("/api/sessions", { body }));
}

export function sendMessage(id: string, body: Schemas["SendMessage"]) {
  return ok(api.POST("/api/sessions/{id}/messages", { params: { path: { id } }, body }));
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

const ID_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz";
const ID_LENGTH = 26;

/** Returns a new session id. The sender chooses it, so that a request that is sent twice creates one session. */
export function newSessionId(): string {
  let id = "";
  // A byte above the last multiple of 36 would make some letters more likely.
  const limit = 256 - (256 % ID_LETTERS.length);
  while (id.length < ID_LENGTH) {
    for (const byte of crypto.getRandomValues(new Uint8Array(ID_LENGTH))) {
      if (byte < limit && id.length < ID_LENGTH) id += ID_LETTERS[byte % ID_LETTERS.length];
    }
  }
  return `ses_${id}`;
}
