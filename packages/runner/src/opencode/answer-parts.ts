/** Collects the agent's answer for the conversation: the parts of the turn's own assistant messages. */
import type { MessagePart } from "@valet/shared/protocol/message-part";
import { cutEnd, head } from "@valet/shared/text";
import { withoutUndefined } from "@valet/shared/without-undefined";
import { toolSpanId } from "../agent/span-ids.ts";
import type { HistoryMessage } from "./client.ts";
import type { AgentEvent, AssistantMessage, Part, ToolPart } from "./events.ts";
import { isRefused, toolName, toolProblem } from "./tool-result.ts";

/** The maximum lengths of a tool's input and output, and of a text, in UTF-16 code units. "…" ends a text that was cut. */
const MAX_TOOL_TEXT = 8_000;
const MAX_TEXT = 100_000;
/** The link's limit. Of more parts, the last ones are kept. */
const MAX_PARTS = 2_000;
const MAX_TITLE = 2_000;

/** Collects the answer from events. */
export class AnswerParts {
  readonly #attemptId: string;
  readonly #isOwn: (userMessageId: string) => boolean;
  readonly #sessionId: string;
  readonly #messages = new Set<string>();
  readonly #parts = new Map<string, MessagePart>();

  /** @param isOwn returns whether a user message belongs to the turn */
  constructor(attemptId: string, sessionId: string, isOwn: (userMessageId: string) => boolean) {
    this.#attemptId = attemptId;
    this.#sessionId = sessionId;
    this.#isOwn = isOwn;
  }

  /** @returns the id of the changed part, if any */
  apply(event: AgentEvent): string | undefined {
    if (event.type === "message.updated") {
      const { info } = event.properties;
      if (info.role === "assistant" && info.sessionID === this.#sessionId && isAnswer(info, this.#isOwn)) {
        this.#messages.add(info.id);
      }
    } else if (event.type === "message.part.updated") {
      const { part } = event.properties;
      const answer = this.#messages.has(part.messageID) ? toMessagePart(this.#attemptId, part) : undefined;
      if (answer === undefined) return undefined;
      this.#parts.set(part.id, answer);
      return part.id;
    } else if (event.type === "message.part.delta") {
      const { messageID, partID, field, delta } = event.properties;
      const part = this.#messages.has(messageID) && field === "text" ? this.#parts.get(partID) : undefined;
      if (part === undefined || part.type === "tool") return undefined;
      const grown = cutEnd(part.text + delta, MAX_TEXT);
      // The text was already at its limit.
      if (grown === part.text) return undefined;
      this.#parts.set(partID, { ...part, text: grown });
      return partID;
    }
    return undefined;
  }

  get(partId: string): MessagePart | undefined {
    return this.#parts.get(partId);
  }

  all(): MessagePart[] {
    return [...this.#parts.values()].filter(hasContent).slice(-MAX_PARTS);
  }
}

/** Returns the answer from OpenCode's history, which is complete even if a broken connection lost events. */
export function partsOfHistory(
  attemptId: string,
  history: readonly HistoryMessage[],
  isOwn: (userMessageId: string) => boolean,
): MessagePart[] {
  const own = history.filter(({ info }) => info.role === "assistant" && isAnswer(info, isOwn));
  const parts = own.flatMap((message) => message.parts.flatMap((part) => toMessagePart(attemptId, part) ?? []));
  return parts.filter(hasContent).slice(-MAX_PARTS);
}

/** Returns whether a message is part of the answer. The summary of a compaction is not. */
function isAnswer(info: AssistantMessage, isOwn: (userMessageId: string) => boolean): boolean {
  return info.agent !== "compaction" && isOwn(info.parentID);
}

function hasContent(part: MessagePart): boolean {
  return part.type === "tool" || part.text !== "";
}

function toMessagePart(attemptId: string, part: Part): MessagePart | undefined {
  if (part.type === "text" || part.type === "reasoning") {
    return { type: part.type, id: part.id, text: cutEnd(part.text, MAX_TEXT) };
  }
  return part.type === "tool" ? toolPart(attemptId, part) : undefined;
}

function toolPart(attemptId: string, part: ToolPart): MessagePart {
  const { id, sessionID, messageID, callID, state } = part;
  const output = state.status === "completed" ? state.output : state.status === "error" ? state.error : undefined;
  const title = "title" in state ? state.title : undefined;
  return {
    type: "tool",
    id,
    tool: head(toolName(part), 200),
    status: state.status,
    spanId: toolSpanId(attemptId, sessionID, messageID, callID),
    ...withoutUndefined({
      title: title === undefined ? undefined : cutEnd(title, MAX_TITLE),
      input: state.status === "pending" ? undefined : cutEnd(JSON.stringify(state.input), MAX_TOOL_TEXT),
      output: output === undefined ? undefined : cutEnd(output, MAX_TOOL_TEXT),
      ...timesOf(state),
      errorType: isRefused(part) ? undefined : toolProblem(part),
    }),
  };
}

/** Returns when a call began and how long it took, as far as it has come, and the exit code of its command. */
function timesOf(state: ToolPart["state"]) {
  if (state.status === "pending") return {};
  const { start } = state.time;
  const end = "end" in state.time ? state.time.end : undefined;
  return {
    startedAt: new Date(start).toISOString(),
    // The agent's clock may have been set back meanwhile.
    duration_ms: end === undefined ? undefined : Math.max(0, end - start),
    exitCode: Number.isSafeInteger(state.metadata?.exit) ? (state.metadata?.exit ?? undefined) : undefined,
  };
}
