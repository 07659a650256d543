/** The spans of one run itself: `invoke_agent`, the agent's preparation before its first model call, OpenCode's silence. */
import type { FactLog } from "../agent/fact-log.ts";
import { type Ending, type FactAttributes, OK } from "../agent/facts.ts";
import { deriveSpanId } from "../agent/span-ids.ts";
import type { ModelFacts } from "./agent-run-options.ts";

export interface RunSpansOptions {
  readonly log: FactLog;
  readonly attemptId: string;
  readonly sessionId: string;
  /** The `invoke_agent` span. */
  readonly spanId: string;
  /** The span of the `task` call; `undefined` for the turn's own run. */
  readonly parentId: string | undefined;
  readonly attributes?: FactAttributes;
  readonly model: Pick<ModelFacts, "mcpWait">;
}

export class RunSpans {
  readonly #options: RunSpansOptions;
  readonly #prepareSpanId: string;
  readonly #mcpSpanId: string;
  #prepareMs = 0;
  /** The open `valet.agent.unresponsive` span. */
  #silenceSpanId: string | undefined;

  constructor(options: RunSpansOptions) {
    this.#options = options;
    this.#prepareSpanId = deriveSpanId(options.attemptId, options.sessionId, options.spanId, "prepare");
    this.#mcpSpanId = deriveSpanId(options.attemptId, options.sessionId, this.#prepareSpanId, "mcp");
  }

  /** Begins the run, unless it has begun. @param messageId the first user message */
  begin(agent: string, messageId: string, startMs: number): void {
    const { log, spanId, parentId, sessionId, attributes } = this.#options;
    if (log.isOpen(spanId)) return;
    const shared = {
      "gen_ai.agent.name": agent,
      "valet.opencode.session.id": sessionId,
      "valet.opencode.message.id": messageId,
    };
    log.begin(`invoke_agent ${agent}`, spanId, parentId, startMs, {
      "gen_ai.operation.name": "invoke_agent",
      ...shared,
      ...attributes,
    });
    log.begin("valet.agent.prepare", this.#prepareSpanId, spanId, startMs, shared);
    this.#prepareMs = startMs;
    this.mcpConnected();
  }

  /** Begins the wait for MCP servers if the preparation waits for them, and ends it once OpenCode has connected to them. */
  mcpConnected(): void {
    if (this.#options.log.isOpen(this.#prepareSpanId)) this.#recordMcpWait(Number.POSITIVE_INFINITY, OK);
  }

  /** @param atMs when the preparation ends; infinity if it goes on */
  #recordMcpWait(atMs: number, ending: Ending): void {
    const { log, model } = this.#options;
    const wait = model.mcpWait?.(this.#prepareMs, atMs);
    if (wait === undefined) {
      // A wait that is open began as OpenCode had connected, which was not known then. Otherwise it ends with the preparation.
      if (atMs === Number.POSITIVE_INFINITY) log.end(this.#mcpSpanId, this.#prepareMs, OK);
      return;
    }
    const attributes = { "valet.mcp.server.name": wait.servers };
    log.begin("valet.agent.mcp_wait", this.#mcpSpanId, this.#prepareSpanId, wait.fromMs, attributes);
    if (wait.untilMs === Number.POSITIVE_INFINITY) return;
    log.end(this.#mcpSpanId, wait.untilMs, wait.untilMs < atMs ? OK : ending, attributes);
  }

  /** Ends the preparation, if it goes on. */
  callBegan(startMs: number): void {
    this.#endPreparation(startMs, OK);
  }

  #endPreparation(atMs: number, ending: Ending): void {
    const { log } = this.#options;
    if (!log.isOpen(this.#prepareSpanId)) return;
    this.#recordMcpWait(atMs, ending);
    log.end(this.#prepareSpanId, atMs, ending);
  }

  /** Records that OpenCode does not respond since `sinceMs`. Has no effect before the run has begun. */
  unresponsive(sinceMs: number): void {
    const { log, attemptId, sessionId, spanId } = this.#options;
    if (this.#silenceSpanId !== undefined || !log.isOpen(spanId)) return;
    this.#silenceSpanId = deriveSpanId(attemptId, sessionId, spanId, "unresponsive", sinceMs);
    log.begin("valet.agent.unresponsive", this.#silenceSpanId, spanId, sinceMs, {});
  }

  /** Records that OpenCode responds again. */
  responsive(atMs: number): void {
    if (this.#silenceSpanId === undefined) return;
    this.#options.log.end(this.#silenceSpanId, atMs, OK);
    this.#silenceSpanId = undefined;
  }

  end(atMs: number, ending: Ending): void {
    this.#endPreparation(atMs, ending);
    this.#options.log.end(this.#options.spanId, atMs, ending);
  }
}
