/** The errors of the HTTP API. Their names are part of its contract: clients distinguish errors by them. */
import { problemsOf } from "../http/problem.ts";

const API_PROBLEMS = {
  "invalid-input": [400, "The input is invalid"],
  "invalid-cursor": [400, "The cursor is invalid"],
  "malformed-json": [400, "The body is not JSON"],
  unauthorized: [401, "A valid bearer token is needed"],
  "may-not-speak-for-others": [403, "The token may not name a user"],
  "not-found": [404, "Not found"],
  "session-not-found": [404, "No such session"],
  "message-not-found": [404, "No such message"],
  "workflow-not-found": [404, "No such workflow"],
  "request-not-found": [404, "The agent has no such open request"],
  "turn-not-found": [404, "No such turn"],
  "trace-not-found": [404, "No such trace"],
  "span-not-found": [404, "No such span"],
  "webhook-not-found": [404, "No such webhook"],
  "method-not-allowed": [405, "Method not allowed"],
  "request-timeout": [408, "The body took too long to arrive"],
  "session-exists": [409, "The session already exists"],
  "session-ended": [409, "The session is terminated"],
  "session-busy": [409, "The session is busy"],
  "transition-refused": [409, "The session's state does not allow this"],
  "id-taken": [409, "The id is used by another object"],
  "message-not-queued": [409, "The message is no longer queued"],
  "workflow-not-queued": [409, "The workflow is no longer queued"],
  "child-session-refused": [409, "The child session was refused"],
  "runner-disconnected": [409, "The runner is not connected"],
  "too-many-webhooks": [409, "There are too many webhooks"],
  "session-deleted": [410, "The session was deleted"],
  "body-too-large": [413, "The body is too large"],
  "message-too-large": [413, "The message is too large"],
  "workflow-too-large": [413, "The workflow is too large"],
  "unsupported-media-type": [415, "The body must be application/json"],
  "model-not-known": [422, "The session's agent does not know the model"],
  "upgrade-required": [426, "A WebSocket upgrade is required"],
  "too-many-requests": [429, "Too many requests"],
  "queue-full": [429, "The queue is full"],
  // No client receives this one. The status is nginx's, well known for this case.
  "client-closed-request": [499, "The client closed the connection during the request"],
  internal: [500, "The server failed"],
  unavailable: [503, "The session is temporarily unavailable"],
  "storage-full": [507, "The server's storage is full"],
} as const;
export type ApiProblemName = keyof typeof API_PROBLEMS;

export const apiProblem = problemsOf("urn:valet:problem:", API_PROBLEMS);
