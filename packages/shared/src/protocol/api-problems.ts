/** What can be wrong with a request of the API. The names are part of its contract: clients tell problems apart by them. */
import { problemsOf } from "../http/problem.ts";

const API_PROBLEMS = {
  "invalid-input": [400, "The input is not valid"],
  "invalid-cursor": [400, "The cursor is not one of ours"],
  "malformed-json": [400, "The body is not JSON"],
  unauthorized: [401, "A valid bearer token is needed"],
  "not-found": [404, "There is nothing here"],
  "session-not-found": [404, "No such session"],
  "message-not-found": [404, "No such message"],
  "workflow-not-found": [404, "No such workflow"],
  "request-not-found": [404, "No such request of the agent"],
  "trace-not-found": [404, "No such trace"],
  "method-not-allowed": [405, "The method is not allowed here"],
  "request-timeout": [408, "The body took too long to arrive"],
  "session-exists": [409, "The session exists already"],
  "session-ended": [409, "The session is terminated"],
  "session-busy": [409, "The session is busy"],
  "transition-refused": [409, "The session's state does not allow this"],
  "id-taken": [409, "The id is that of something else"],
  "message-not-queued": [409, "The message is not queued any more"],
  "workflow-not-queued": [409, "The workflow is not queued any more"],
  "child-session-refused": [409, "No child session can be made"],
  "runner-disconnected": [409, "The runner is not connected"],
  "body-too-large": [413, "The body is too large"],
  "message-too-large": [413, "The message is too large"],
  "workflow-too-large": [413, "The workflow is too large"],
  "unsupported-media-type": [415, "The body must be application/json"],
  "model-not-known": [422, "The session does not know the model"],
  "upgrade-required": [426, "This address takes WebSockets"],
  "too-many-requests": [429, "Too many requests"],
  "queue-full": [429, "The queue is full"],
  // Nobody reads this one. The status is nginx's, and is known for it.
  "client-closed-request": [499, "The request ended before it was complete"],
  internal: [500, "The server failed"],
  unavailable: [503, "The session cannot be reached now"],
  "storage-full": [507, "The server has no room to store anything"],
} as const;
export type ApiProblemName = keyof typeof API_PROBLEMS;

export const apiProblem = problemsOf("urn:valet:problem:", API_PROBLEMS);
