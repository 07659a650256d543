/** The two forms of an answer: a stream of server-sent events, or one JSON object. */
import type { ServerResponse } from "node:http";
import type { Delta, ToolCallDelta, UsageSent } from "./frames.ts";

/** Receives the parts of an answer in order. */
export interface CompletionWriter {
  delta(delta: Delta): Promise<void>;
  /** Sends something that is no part of the answer. */
  comment(): Promise<void>;
  finish(reason: string | undefined, usage: UsageSent | undefined): Promise<void>;
}

/** The first fields of every chunk, or of the one object. */
export interface CompletionHead {
  id: string;
  /** Epoch seconds. */
  created: number;
  model: string;
}

/**
 * Resolves when the bytes have left this process or the connection is closed, so that a cut right afterwards loses none
 * of them.
 */
function write(response: ServerResponse, text: string): Promise<void> {
  return new Promise((resolve) => {
    if (response.destroyed) resolve();
    else response.write(text, () => resolve());
  });
}

/**
 * Streams `chat.completion.chunk` events. The headers are sent with the first event, so a delay before it looks like a
 * slow model.
 */
export function streamWriter(response: ServerResponse, head: CompletionHead, includeUsage: boolean): CompletionWriter {
  const begin = () => {
    if (response.headersSent) return;
    response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache" });
  };
  const send = (choices: unknown[], usage?: UsageSent) => {
    begin();
    const chunk = { ...head, object: "chat.completion.chunk", choices, ...(usage && { usage }) };
    return write(response, `data: ${JSON.stringify(chunk)}\n\n`);
  };
  let role: { role: "assistant" } | undefined = { role: "assistant" };
  return {
    async delta(delta) {
      await send([{ index: 0, delta: { ...role, ...delta }, finish_reason: null }]);
      role = undefined;
    },
    async comment() {
      begin();
      await write(response, ": PROCESSING\n\n");
    },
    async finish(reason, usage) {
      if (reason !== undefined) await send([{ index: 0, delta: {}, finish_reason: reason }]);
      if (includeUsage && usage) await send([], usage);
      await write(response, "data: [DONE]\n\n");
      response.end();
    },
  };
}

/** Collects the answer and sends it as one `chat.completion`. */
export function jsonWriter(response: ServerResponse, head: CompletionHead): CompletionWriter {
  let content: string | null = null;
  let reasoning = "";
  const calls: ToolCallDelta[] = [];
  return {
    async delta(delta) {
      if (delta.content !== undefined) content = (content ?? "") + delta.content;
      reasoning += delta.reasoning_content ?? "";
      for (const piece of delta.tool_calls ?? []) {
        const call = calls[piece.index];
        if (call) call.function.arguments += piece.function.arguments;
        else calls[piece.index] = structuredClone(piece);
      }
    },
    // JSON has none.
    async comment() {},
    async finish(reason, usage) {
      const message = {
        role: "assistant",
        content,
        ...(reasoning !== "" && { reasoning_content: reasoning }),
        ...(calls.length > 0 && { tool_calls: calls.map(({ index: _, ...call }) => call) }),
      };
      const choices = [{ index: 0, message, finish_reason: reason }];
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify({ ...head, object: "chat.completion", choices, ...(usage && { usage }) }));
    },
  };
}
