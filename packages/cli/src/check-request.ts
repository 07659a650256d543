/** Checks requests as the API does, before anything is sent: what it would refuse must change nothing. */
import { fieldErrors } from "@valet/shared/http/problem";
import { apiProblem } from "@valet/shared/protocol/api-problems";
import { MAX_MESSAGE_BYTES, messageBytes } from "@valet/shared/protocol/message-limits";
import { CreateSession, SendMessage } from "@valet/shared/protocol/session-api";
import type { z } from "zod";
import { ApiError } from "./api-transport.ts";

/** Returns the request. @throws ApiError, the API's own, if it would be refused */
export function checkSession(request: CreateSession): CreateSession {
  return checked(CreateSession, request);
}

/** Returns the request. @throws ApiError, the API's own, if it would be refused */
export function checkMessage(request: SendMessage): SendMessage {
  const { content, attachments = [] } = checked(SendMessage, request);
  if (messageBytes(content, attachments) > MAX_MESSAGE_BYTES) {
    throw refusal(
      apiProblem("message-too-large", {
        detail: `Content and attachments may have ${MAX_MESSAGE_BYTES} bytes together.`,
      }),
    );
  }
  return request;
}

function checked<T>(schema: z.ZodType<T>, request: T): T {
  const { error } = schema.safeParse(request);
  if (error !== undefined) throw refusal(apiProblem("invalid-input", { errors: fieldErrors(error) }));
  return request;
}

function refusal(problem: ReturnType<typeof apiProblem>): ApiError {
  return new ApiError(problem.status, problem);
}
