/** Maps OpenCode's errors to values of `error.type`. Their messages quote the provider: they are content. */
import type { AgentErrorType, ProviderError } from "../agent/errors.ts";
import type { AgentError } from "./events.ts";

/** The beginnings of the AI SDK's messages about an answer that it cannot parse. OpenCode calls models through the AI SDK. */
const UNREADABLE =
  /^(?:AI_\w+: )?(?:JSON parsing failed|Type validation failed|Invalid JSON response|Invalid response data|Empty response body|Expected '[\w.]+' to be)\b/;

/** Returns whether OpenCode reports that a message was aborted. */
export function isAbort(error: AgentError | undefined): boolean {
  return error?.name === "MessageAbortedError";
}

/**
 * Returns the type of an error that ended a message.
 * @param providerStatus the HTTP status of the provider's last answer; for an error in a stream, the status that it implies
 */
export function classifyError(error: AgentError, providerStatus?: number): AgentErrorType {
  const type = classifyAlone(error);
  const isRefused = providerStatus !== undefined && providerStatus >= 400;
  return type === "opencode_error" && isRefused ? classifyStatus(providerStatus) : type;
}

function classifyAlone({ name, data }: AgentError): AgentErrorType {
  switch (name) {
    case "ProviderAuthError":
      return "provider_auth_failed";
    case "ContextOverflowError":
      return "context_overflow";
    case "MessageOutputLengthError":
      return "output_limit";
    case "ContentFilterError":
      return "content_filtered";
    case "ProviderModelNotFoundError":
      return "provider_not_found";
    case "APIError":
      return data?.statusCode === undefined
        ? classifyMessage(data?.message ?? "", false)
        : classifyStatus(data.statusCode);
    default:
      // OpenCode wraps some errors, such as an unknown model, as UnknownError with the original's name in the message.
      if (/^ImageDecodeError\b/.test(data?.message ?? "")) return "attachment_unreadable";
      if (UNREADABLE.test(data?.message ?? "")) return "provider_bad_response";
      return /ModelNotFound|model not found/i.test(data?.message ?? "") ? "provider_not_found" : "opencode_error";
  }
}

/**
 * Returns the type of an error after which OpenCode retries, of which it only reports the message.
 * @param streaming whether the answer had begun
 */
export function classifyMessage(message: string, streaming: boolean): ProviderError {
  if (UNREADABLE.test(message)) return "provider_bad_response";
  if (/rate.?limit|too many requests|quota|\b429\b/i.test(message)) return "provider_rate_limited";
  if (/overloaded|capacity|\b529\b|\b503\b/i.test(message)) return "provider_overloaded";
  if (/time.?out|timed out/i.test(message)) return "provider_timeout";
  return streaming ? "provider_stream_cut" : "provider_unavailable";
}

/** Returns the error type of a provider's HTTP status. */
export function classifyStatus(status: number): ProviderError {
  if (status === 401 || status === 403) return "provider_auth_failed";
  if (status === 402) return "provider_out_of_credit";
  if (status === 404) return "provider_not_found";
  if (status === 429) return "provider_rate_limited";
  if (status === 503 || status === 529) return "provider_overloaded";
  if (status === 408 || status === 504) return "provider_timeout";
  if (status === 413) return "context_overflow";
  return status < 500 ? "provider_bad_request" : "provider_failed";
}
