/** Tracks the requests to a person in one run, and the waits for the replies. */
import type { FactLog } from "../agent/fact-log.ts";
import { type FactAttributes, OK } from "../agent/facts.ts";
import { deriveSpanId } from "../agent/span-ids.ts";
import type { AgentEvent, AgentEventOf, AskedEvent } from "./events.ts";
import { callKey } from "./step-context.ts";

export interface PersonWaitsOptions {
  readonly log: FactLog;
  readonly attemptId: string;
  /** The run's `invoke_agent` span. */
  readonly runSpanId: string;
  /** Returns whether an assistant message belongs to the run. */
  isOwn(messageId: string): boolean;
  /** Returns the span of a tool call, if it has begun. */
  toolSpan(messageId: string, callId: string): string | undefined;
}

interface Wait {
  readonly spanId: string;
  readonly asked: AskedEvent;
  readonly atMs: number;
  /** The tool call that asks; `undefined` if the agent itself asks. */
  readonly key: string | undefined;
}

export class PersonWaits {
  readonly #options: PersonWaitsOptions;
  /** Open requests, by their ids. */
  readonly #waits = new Map<string, Wait>();
  /** The rejected tool calls. */
  readonly #denied = new Set<string>();

  constructor(options: PersonWaitsOptions) {
    this.#options = options;
  }

  /** The ids of the open requests. */
  get open(): readonly string[] {
    return [...this.#waits.keys()];
  }

  /** Handles an event. Ignores those that are not about requests. */
  apply(event: AgentEvent, atMs: number): void {
    switch (event.type) {
      case "permission.asked":
      case "question.asked":
        this.#ask(event, atMs);
        break;
      case "permission.replied":
        this.#permissionReplied(event, atMs);
        break;
      case "question.rejected":
        this.#recordDenied(event.properties.requestID);
        this.#end(event.properties.requestID, atMs);
        break;
      case "question.replied":
      case "request.closed":
        this.#end(event.properties.requestID, atMs);
        break;
    }
  }

  /** Moves waits below their tool. A tool may ask shortly before OpenCode reports it as running. */
  toolBegan(key: string, toolSpanId: string, startMs: number): void {
    for (const [id, wait] of this.#waits) {
      if (wait.key === key) this.#begin(id, toolSpanId, Math.max(wait.atMs, startMs));
    }
  }

  /** Returns whether a person rejected this tool call. */
  wasDenied(key: string): boolean {
    return this.#denied.has(key);
  }

  #ask(asked: AskedEvent, atMs: number): void {
    const { attemptId, runSpanId, isOwn, toolSpan } = this.#options;
    const { id, tool, sessionID } = asked.properties;
    if (this.#waits.has(id) || (tool !== undefined && !isOwn(tool.messageID))) return;
    const spanId = deriveSpanId(attemptId, sessionID, id, "wait");
    const key = tool === undefined ? undefined : callKey(tool.messageID, tool.callID);
    this.#waits.set(id, { spanId, asked, atMs, key });
    const parentId = tool === undefined ? runSpanId : toolSpan(tool.messageID, tool.callID);
    if (parentId !== undefined) this.#begin(id, parentId, atMs);
  }

  #begin(id: string, parentId: string, startMs: number): void {
    const wait = this.#waits.get(id);
    if (wait === undefined) return;
    const callId = wait.asked.properties.tool?.callID;
    const { log } = this.#options;
    if (wait.asked.type === "permission.asked") {
      log.begin("valet.permission.wait", wait.spanId, parentId, startMs, {
        "valet.permission.id": id,
        "valet.permission.type": wait.asked.properties.permission,
        "gen_ai.tool.call.id": callId,
      });
    } else {
      log.begin("valet.question.wait", wait.spanId, parentId, startMs, {
        "valet.question.id": id,
        "valet.question.count": wait.asked.properties.questions.length,
        "gen_ai.tool.call.id": callId,
      });
    }
  }

  #permissionReplied({ properties }: AgentEventOf<"permission.replied">, atMs: number): void {
    const { requestID, reply } = properties;
    if (reply === "reject") this.#recordDenied(requestID);
    this.#end(requestID, atMs, { "valet.permission.reply": reply });
  }

  /** Records that a person rejected a request, after which the agent stops. */
  #recordDenied(requestId: string): void {
    const key = this.#waits.get(requestId)?.key;
    if (key !== undefined) this.#denied.add(key);
  }

  #end(requestId: string, atMs: number, attributes: FactAttributes = {}): void {
    const wait = this.#waits.get(requestId);
    if (wait === undefined) return;
    const { log, runSpanId } = this.#options;
    // A wait that ended before its tool began belongs to the run.
    this.#begin(requestId, runSpanId, wait.atMs);
    this.#waits.delete(requestId);
    log.end(wait.spanId, atMs, OK, attributes);
  }
}
