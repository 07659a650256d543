/** Reads what the plugin tells of a request to a provider: its settings as attributes, and its content without secrets. Pure. */
import type { ModelRequest } from "@valet/shared/protocol/model-request";
import type { SpanAttributes } from "@valet/shared/spans";
import type { FactContent } from "../agent/facts.ts";
import type { SecretValues } from "../secrets/secret-values.ts";

/** The event that the rest of the runner reads. */
export interface ModelRequestEvent {
  readonly id?: undefined;
  /** Reported by Valet's plugin, not by OpenCode's stream: a request to the model leaves OpenCode's process. */
  readonly type: "model.request";
  readonly properties: {
    readonly sessionID: string;
    readonly messageID: string;
    /** Epoch ms. */
    readonly atMs: number;
    readonly attributes: SpanAttributes<`chat ${string}`>;
    readonly content: Pick<FactContent, "gen_ai.input.messages" | "gen_ai.system_instructions">;
  };
}

export function modelRequestEvent(request: ModelRequest, secrets?: SecretValues): ModelRequestEvent {
  const { opencodeSessionId, messageId, atMs, params, input, system } = request;
  return {
    type: "model.request",
    properties: {
      sessionID: opencodeSessionId,
      messageID: messageId,
      atMs,
      attributes: {
        "gen_ai.request.temperature": params.temperature,
        "gen_ai.request.top_p": params.topP,
        "gen_ai.request.top_k": params.topK,
        "gen_ai.request.max_tokens": params.maxTokens,
        "gen_ai.request.reasoning.level": params.reasoningLevel,
      },
      content: {
        "gen_ai.input.messages": contentOf(input, secrets),
        "gen_ai.system_instructions": contentOf(system, secrets),
      },
    },
  };
}

/** What {@link boundedJson} ends a text with that it has cut. */
const CUT = "…";

/** Returns the value of a JSON text, without secrets and without the beginning of one where the plugin has cut. */
function contentOf(json: string | undefined, secrets: SecretValues | undefined): unknown {
  if (json === undefined) return undefined;
  try {
    const whole: unknown = JSON.parse(json, (_key, value: unknown) => {
      if (typeof value !== "string" || !value.endsWith(CUT) || secrets === undefined) return value;
      return secrets.redactOpen(value.slice(0, -CUT.length)).text + CUT;
    });
    return secrets?.redactAll(whole) ?? whole;
  } catch {
    return undefined;
  }
}
