/**
 * Converts OpenCode's events into the facts of one prompt, without a clock or I/O: the same events result in the same facts. It
 * assigns events by ids only, so turns of several channels can read one stream.
 */
import { withoutUndefined } from "@valet/shared/without-undefined";
import type { ModelCallRef } from "../agent/agent.ts";
import { FactLog } from "../agent/fact-log.ts";
import type { Ending, Fact, FactAttributes } from "../agent/facts.ts";
import { deriveSpanId } from "../agent/span-ids.ts";
import { AgentRun } from "./agent-run.ts";
import type { ModelFacts, Retry } from "./agent-run-options.ts";
import { type AgentEvent, eventTime, sessionOf } from "./events.ts";

export interface TurnReducerOptions {
  /** The attempt of the prompt. Together with the message id it makes the derived span ids unique. */
  readonly attemptId: string;
  /** The OpenCode session of the prompt. */
  readonly sessionId: string;
  /** The prompt's message id. */
  readonly userMessageId: string;
  /** When the prompt is sent, epoch ms. */
  readonly startMs: number;
  /** Further attributes of the `invoke_agent` span. */
  readonly attributes?: FactAttributes;
  /** Tools that the agent may call repeatedly with the same arguments. */
  readonly pollingTools?: ReadonlySet<string>;
  readonly model?: ModelFacts;
  /** Returns whether a message id belongs to another prompt. */
  isOthers(messageId: string): boolean;
}

/** The maximum number of events of a sub-agent before its tool call is known. */
const MAX_HELD_EVENTS = 1000;

export class TurnReducer {
  /** The id of the prompt's `invoke_agent` span, known before the span begins. */
  readonly spanId: string;
  readonly #options: TurnReducerOptions;
  readonly #log = new FactLog();
  readonly #root: AgentRun;
  /** Runs by OpenCode session; for a child session that was used twice, the later run. */
  readonly #runs = new Map<string, AgentRun>();
  /** Tool calls whose child session is known, since each creates one run. */
  readonly #tied = new Set<string>();
  /** Events of child sessions whose tool call is not known yet. */
  readonly #held = new Map<string, { event: AgentEvent; atMs: number }[]>();
  readonly #pollingTools: ReadonlySet<string>;
  readonly #model: ModelFacts;
  #cut: Ending | undefined;

  constructor(options: TurnReducerOptions) {
    const { attemptId, sessionId, userMessageId, startMs, attributes, isOthers } = options;
    this.#options = options;
    this.#pollingTools = options.pollingTools ?? new Set();
    this.#model = options.model ?? { ownServer: {}, compacted: new Set() };
    this.spanId = deriveSpanId(attemptId, sessionId, userMessageId, "run");
    this.#root = new AgentRun({
      log: this.#log,
      attemptId,
      sessionId,
      spanId: this.spanId,
      parentId: undefined,
      sinceMs: startMs,
      userMessageId,
      isOthers,
      pollingTools: this.#pollingTools,
      model: this.#model,
      ...withoutUndefined({ attributes }),
      cutShort: () => this.#cut,
    });
    this.#runs.set(sessionId, this.#root);
  }

  /** Whether the prompt has ended, according to the rule in recordings/README.md. */
  get hasEnded(): boolean {
    return this.#root.hasEnded;
  }

  /** How the prompt ended. */
  get ending(): Ending {
    return this.#root.ending;
  }

  /** Whether the agent, or a sub-agent, waits for a person. */
  get isWaiting(): boolean {
    return [...this.#runs.values()].some((run) => !run.hasEnded && run.isWaiting);
  }

  /** The session of each open request to a person, by the request's id. */
  get openRequests(): ReadonlyMap<string, string> {
    const open = [...this.#runs.values()].filter(({ hasEnded }) => !hasEnded);
    return new Map(open.flatMap((run) => run.openRequests.map((id) => [id, run.sessionId] as const)));
  }

  /** The failing model call that OpenCode retries, if there is one. */
  get retry(): Retry | undefined {
    return [...this.#runs.values()].find((run) => !run.hasEnded && run.retry !== undefined)?.retry;
  }

  /** How the prompt must end if the agent is in a loop. */
  get verdict(): Ending | undefined {
    for (const run of this.#runs.values()) if (!run.hasEnded && run.verdict !== undefined) return run.verdict;
    return undefined;
  }

  /** How the prompt ends if no more events follow. */
  get unanswered(): Ending | undefined {
    return this.#root.unanswered;
  }

  /** Whether it seems to be over after an abort: see `AgentRun`. Must be checked against the history. */
  get isUnconfirmed(): boolean {
    return this.#root.isUnconfirmed;
  }

  /** The OpenCode session of the prompt. */
  get sessionId(): string {
    return this.#options.sessionId;
  }

  /** The prompt's message id. */
  get userMessageId(): string {
    return this.#options.userMessageId;
  }

  /** Returns the number of messages of an OpenCode session that are known to belong to this prompt. */
  messageCount(sessionId: string): number {
    return this.#runs.get(sessionId)?.messageCount ?? 0;
  }

  /** When the prompt was sent, epoch ms. */
  get startMs(): number {
    return this.#options.startMs;
  }

  /** Whether the agent has begun its answer. */
  get hasBegun(): boolean {
    return this.#root.hasBegun;
  }

  /** Returns whether an OpenCode session is busy with this prompt. */
  isBusy(sessionId: string): boolean {
    return this.#runs.get(sessionId)?.isBusy === true;
  }

  /** Returns whether an OpenCode session worked for this prompt and has ended. */
  isOver(sessionId: string): boolean {
    return this.#runs.get(sessionId)?.hasEnded === true;
  }

  get userMessageIds(): ReadonlySet<string> {
    return this.#root.userMessageIds;
  }

  /** Returns whether an OpenCode session belongs to this prompt: its own, or a sub-agent's. */
  has(sessionId: string): boolean {
    return this.#runs.has(sessionId);
  }

  /** Like {@link has}, also for a sub-agent's session whose tool call is not known yet. */
  knows(sessionId: string): boolean {
    return this.#runs.has(sessionId) || this.#held.has(sessionId);
  }

  /** Records that a tool call has begun, since it sent a request, even if no event has reported it yet. @param atMs epoch ms */
  toolAsked(spanId: string, atMs: number): void {
    this.#log.hasBegunBy(spanId, atMs);
  }

  /** Returns whether an event belongs to this prompt's sessions. */
  concerns(event: AgentEvent): boolean {
    const session = sessionOf(event);
    if (session === undefined) return false;
    const isNewChild = event.type === "session.created" && this.#runs.has(event.properties.info.parentID ?? "");
    return isNewChild || this.#runs.has(session) || this.#held.has(session);
  }

  /** @param readMs when the event was read, epoch ms */
  apply(event: AgentEvent, readMs: number): Fact[] {
    if (this.hasEnded || !this.concerns(event)) return [];
    this.#route(event, eventTime(event, readMs));
    return this.#log.take();
  }

  /**
   * Sets how all spans end from now on, because the work is being aborted. The first reason counts. The prompt itself ends only
   * when the agent does.
   */
  cut(ending: Ending): void {
    this.#cut ??= ending;
  }

  /** Returns whether a model call is refused, because it belongs to this prompt and the prompt was aborted. It gets no span. */
  refuses({ sessionId, messageId, userMessageId }: ModelCallRef): boolean {
    if (this.#cut === undefined) return false;
    const run = this.#runs.get(sessionId);
    if (run === undefined) return !this.hasEnded && this.#held.has(sessionId);
    if (!run.userMessageIds.has(userMessageId)) return false;
    run.refuseCall(messageId);
    return true;
  }

  /** Returns the number, in its step, of the model call that the next request belongs to. */
  nextCallPlace({ sessionId, messageId }: ModelCallRef): number {
    return this.#runs.get(sessionId)?.nextCallPlace(messageId) ?? 1;
  }

  /** Since when a model call waits for the report of its request, or for {@link beginHeldCalls}; the first if there are several. Epoch ms. */
  get heldSinceMs(): number | undefined {
    const since = [...this.#runs.values()].flatMap((run) => (run.hasEnded ? [] : (run.heldMs ?? [])));
    return since.length === 0 ? undefined : Math.min(...since);
  }

  /** Begins the model calls that wait for a report since `sinceMs` or longer, when OpenCode said that it sends their requests. */
  beginHeldCalls(sinceMs: number): Fact[] {
    for (const run of this.#runs.values()) {
      if (!run.hasEnded && run.heldMs !== undefined && run.heldMs <= sinceMs) run.beginHeldCall();
    }
    return this.#log.take();
  }

  /** Records that a permitted model call is about to be sent to the provider. @param atMs epoch ms */
  recordRequest({ sessionId, messageId }: ModelCallRef, atMs: number): Fact[] {
    this.#runs.get(sessionId)?.recordRequest(messageId, atMs);
    return this.#log.take();
  }

  /** Records that the provider of a session's model call has sent bytes. @param atMs epoch ms */
  recordBytes(sessionId: string, atMs: number): Fact[] {
    this.#runs.get(sessionId)?.recordBytes(atMs);
    return this.#log.take();
  }

  /** Records that OpenCode has connected to its MCP servers. */
  mcpConnected(): Fact[] {
    for (const run of this.#runs.values()) run.mcpConnected();
    return this.#log.take();
  }

  /** Records the result of a health check. @param atMs the time of the failed check, or of the answer, epoch ms */
  applyHealth(isResponsive: boolean, atMs: number): Fact[] {
    if (this.hasEnded) return [];
    if (isResponsive) this.#root.responsive(atMs);
    else this.#root.unresponsive(atMs);
    return this.#log.take();
  }

  /** Records that OpenCode has answered an abort. */
  abortAnswered(atMs: number): Fact[] {
    this.#root.abortAnswered(atMs);
    return this.#log.take();
  }

  /** Ends everything now, because the agent's process has ended or the agent did not end the aborted work. */
  close(atMs: number, ending: Ending): Fact[] {
    this.cut(ending);
    for (const run of [...this.#runs.values()].reverse()) run.end(atMs);
    return this.#log.take();
  }

  #route(event: AgentEvent, atMs: number): void {
    const session = sessionOf(event) as string;
    if (event.type === "session.created") {
      if (!this.#runs.has(session)) this.#held.set(session, []);
      return;
    }
    const held = this.#held.get(session);
    if (held !== undefined) {
      if (held.length < MAX_HELD_EVENTS) held.push({ event, atMs });
      return;
    }
    const run = this.#runs.get(session);
    if (run === undefined || run.hasEnded) return;
    this.#endTaskRun(event, atMs);
    run.apply(event, atMs);
    this.#tieChild(run, event);
  }

  /** Starts the run of a child session, once the `task` tool's metadata names it. */
  #tieChild(parent: AgentRun, event: AgentEvent): void {
    if (event.type !== "message.part.updated" || event.properties.part.type !== "tool") return;
    const { messageID, callID, state } = event.properties.part;
    if (state.status === "pending") return;
    const child = state.metadata?.sessionId;
    const toolSpanId = parent.toolSpan(messageID, callID);
    if (child === undefined || toolSpanId === undefined || this.#tied.has(toolSpanId)) return;
    this.#tied.add(toolSpanId);
    if (!this.#log.isOpen(toolSpanId) || child === this.#root.sessionId) return;
    const run = new AgentRun({
      log: this.#log,
      attemptId: this.#options.attemptId,
      sessionId: child,
      parentId: toolSpanId,
      sinceMs: state.time.start,
      spanId: deriveSpanId(this.#options.attemptId, child, toolSpanId, "run"),
      cutShort: () => this.#cut,
      isOthers: () => false,
      pollingTools: this.#pollingTools,
      model: this.#model,
    });
    this.#runs.set(child, run);
    const held = this.#held.get(child) ?? [];
    this.#held.delete(child);
    for (const { event: earlier, atMs } of held) this.#route(earlier, atMs);
  }

  /** Ends a sub-agent's run once its tool call has a result. */
  #endTaskRun(event: AgentEvent, atMs: number): void {
    if (event.type !== "message.part.updated" || event.properties.part.type !== "tool") return;
    const { state } = event.properties.part;
    if (state.status !== "completed" && state.status !== "error") return;
    const run = this.#runs.get(state.metadata?.sessionId ?? "");
    if (run !== undefined && run !== this.#root && !run.hasEnded) run.end(Math.min(state.time.end, atMs));
  }
}
