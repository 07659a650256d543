/** Converts what OpenCode sends to a model into the messages of the GenAI conventions. Pure. */

/** OpenCode's messages, as `experimental.chat.messages.transform` has them: the parts of them that are read. */
export interface SentMessage {
  readonly info: { readonly id: string; readonly role: string; readonly sessionID: string };
  readonly parts: readonly SentPart[];
}

interface SentPart {
  readonly type: string;
  readonly text?: string;
  /** Not sent to the model. */
  readonly ignored?: boolean;
  readonly mime?: string;
  readonly filename?: string;
  readonly url?: string;
  readonly tool?: string;
  readonly callID?: string;
  readonly state?: { readonly input?: unknown; readonly output?: unknown; readonly error?: unknown };
}

interface Message {
  readonly role: string;
  readonly parts: readonly object[];
}

/** Returns the conversation: results of tools are messages of their own. */
export function inputMessages(sent: readonly SentMessage[]): Message[] {
  return sent
    .flatMap(({ info, parts }): Message[] => {
      const said = parts.filter(({ ignored }) => ignored !== true);
      const own = { role: info.role, parts: said.flatMap(partOf) };
      return [own, { role: "tool", parts: said.flatMap(responseOf) }];
    })
    .filter(({ parts }) => parts.length > 0);
}

function partOf({ type, text, mime, filename, url, tool, callID, state }: SentPart): object[] {
  if (type === "text" || type === "reasoning") return text ? [{ type, content: text }] : [];
  if (type === "tool") return [{ type: "tool_call", id: callID, name: tool, arguments: state?.input }];
  if (type !== "file") return [];
  // The bytes of an attachment are in the session, and would leave no room for texts.
  const isHere = url?.startsWith("data:") === true;
  return [{ type: isHere ? "blob" : "uri", mime_type: mime, filename, ...(!isHere && { uri: url }) }];
}

function responseOf({ type, callID, state }: SentPart): object[] {
  const response = state?.output ?? state?.error;
  return type === "tool" && response !== undefined ? [{ type: "tool_call_response", id: callID, response }] : [];
}
