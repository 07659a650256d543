/**
 * Gathers, while OpenCode prepares a request to a model, what only its hooks know: the request's settings and, if content is captured,
 * the system prompt and the conversation. OpenCode 1.18.33 calls `experimental.chat.messages.transform`, then
 * `experimental.chat.system.transform`, `chat.params` and `chat.headers`; a retry begins with the second. It changes nothing.
 */
import type { ModelCallRef } from "@valet/shared/protocol/child-sessions";
import { CAPTURES_CONTENT_VARIABLE, type ModelRequest } from "@valet/shared/protocol/model-request";
import { boundedJson } from "@valet/shared/text";
import { inputMessages, type SentMessage } from "./captured-input.ts";

/** What is told of a request before it is sent. */
export type PreparedRequest = Omit<ModelRequest, "atMs">;

/** Both fit into a request to the runner, even if every character is escaped. The runner cuts them to what spans may hold. */
const MAX_INPUT_BYTES = 160 * 1024;
const MAX_SYSTEM_BYTES = 64 * 1024;
const MAX_SESSIONS = 100;

interface Settings {
  readonly temperature?: unknown;
  readonly topP?: unknown;
  readonly topK?: unknown;
  readonly maxOutputTokens?: unknown;
  readonly options?: { readonly reasoningEffort?: unknown };
}

interface PreparedInput {
  readonly sessionID: string;
  readonly agent?: string;
}

/** Reads whether content is captured, and removes the variable. */
export function readCapturesContent(env: Record<string, string | undefined>): boolean {
  const { [CAPTURES_CONTENT_VARIABLE]: captures } = env;
  delete env[CAPTURES_CONTENT_VARIABLE];
  return captures === "1";
}

export class ModelRequests {
  readonly #capturesContent: boolean;
  /** By session and agent, since OpenCode may ask several models for one session at once. */
  readonly #settings = new Map<string, Settings>();
  readonly #systems = new Map<string, readonly string[]>();
  readonly #messages = new Map<string, readonly SentMessage[]>();

  constructor(capturesContent: boolean) {
    this.#capturesContent = capturesContent;
  }

  /** The hooks of OpenCode that are needed. Their outputs are kept, not copied: what later plugins change in them counts. */
  get hooks() {
    const params = {
      "chat.params": async (input: PreparedInput, output: Settings) => {
        keep(this.#settings, keyOf(input), output);
      },
    };
    if (!this.#capturesContent) return params;
    return {
      ...params,
      "experimental.chat.system.transform": async (
        { sessionID }: { readonly sessionID?: string },
        { system }: { readonly system: readonly string[] },
      ) => {
        if (sessionID !== undefined) keep(this.#systems, sessionID, system);
      },
      "experimental.chat.messages.transform": async (
        _: object,
        { messages }: { readonly messages: readonly SentMessage[] },
      ) => {
        const session = messages?.at(-1)?.info?.sessionID;
        if (session !== undefined) keep(this.#messages, session, messages);
      },
    };
  }

  /** Returns what is known of a request that OpenCode has prepared. */
  prepared(input: PreparedInput, call: ModelCallRef): PreparedRequest {
    const { temperature, topP, topK, maxOutputTokens, options } = this.#settings.get(keyOf(input)) ?? {};
    const params = { temperature, topP, topK, maxTokens: maxOutputTokens, reasoningLevel: options?.reasoningEffort };
    return {
      ...call,
      // The runner checks them.
      params: params as PreparedRequest["params"],
      ...(this.#capturesContent && this.#content(input.sessionID, call.userMessageId)),
    };
  }

  #content(session: string, userMessageId: string): Pick<PreparedRequest, "input" | "system"> {
    const system = this.#systems.get(session)?.map((content) => ({ type: "text", content }));
    const messages = this.#messages.get(session) ?? [];
    // Another request of the session has a conversation of its own.
    const isOwn = messages.some(({ info }) => info.id === userMessageId);
    return {
      ...(system !== undefined && { system: boundedJson(system, MAX_SYSTEM_BYTES) }),
      ...(isOwn && { input: boundedJson(inputMessages(messages), MAX_INPUT_BYTES) }),
    };
  }
}

const keyOf = ({ sessionID, agent = "" }: PreparedInput) => `${sessionID} ${agent}`;

function keep<V>(known: Map<string, V>, key: string, value: V): void {
  known.delete(key);
  known.set(key, value);
  for (const oldest of known.keys()) if (known.size > MAX_SESSIONS) known.delete(oldest);
}
