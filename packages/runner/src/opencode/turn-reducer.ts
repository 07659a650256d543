/**
 * From OpenCode's events to the spans of one prompt: no clock, no I/O, and the same events give the same facts. An event
 * finds its place by ids alone, so that turns of several channels may read one stream.
 */
import type { ModelCallRef } from "../agent/agent.ts";
import { FactLog } from "../agent/fact-log.ts";
import type { Ending, Fact, FactAttributes } from "../agent/facts.ts";
import { deriveSpanId } from "../agent/span-ids.ts";
import { AgentRun, type ModelFacts, type Retry } from "./agent-run.ts";
import { type AgentEvent, eventTime, sessionOf } from "./events.ts";

export interface TurnReducerOptions {
  /** The attempt that the prompt is for. With the message id it makes the derived span ids its own. */
  readonly attemptId: string;
  /** The OpenCode session that is prompted. */
  readonly sessionId: string;
  /** The id that the prompt is sent with. */
  readonly userMessageId: string;
  /** When it is sent, epoch ms. */
  readonly startMs: number;
  /** Added to the `invoke_agent` span. */
  readonly attributes?: FactAttributes;
  /** Tools that may be asked for the same again and again. */
  readonly pollingTools?: ReadonlySet<string>;
  /** Nothing is known where it is left out. */
  readonly model?: ModelFacts;
  /** Whether a message id was made for another prompt than this one. */
  isOthers(messageId: string): boolean;
}

/** How many events of a sub-agent may arrive before the call that it works for is known. */
const MAX_HELD_EVENTS = 1000;

export class TurnReducer {
  /** The id of the prompt's `invoke_agent` span, known before the span begins. */
  readonly spanId: string;
  readonly #options: TurnReducerOptions;
  readonly #log = new FactLog();
  readonly #root: AgentRun;
  /** Runs by OpenCode session; of a child session that was used twice, the later one. */
  readonly #runs = new Map<string, AgentRun>();
  /** Tool calls that have a child session, so that each makes one run. */
  readonly #tied = new Set<string>();
  /** Events of child sessions whose call has not been told yet. */
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
      ...(attributes === undefined ? {} : { attributes }),
      cutShort: () => this.#cut,
    });
    this.#runs.set(sessionId, this.#root);
  }

  /** Whether the agent is done with the prompt, by the rule in recordings/README.md. */
  get hasEnded(): boolean {
    return this.#root.hasEnded;
  }

  /** How it ended. */
  get ending(): Ending {
    return this.#root.ending;
  }

  /** Whether the agent, or a sub-agent, waits for a person. */
  get isWaiting(): boolean {
    return [...this.#runs.values()].some((run) => !run.hasEnded && run.isWaiting);
  }

  /** The session of each request to a person that is open, by the request's id. */
  get openRequests(): ReadonlyMap<string, string> {
    const open = [...this.#runs.values()].filter(({ hasEnded }) => !hasEnded);
    return new Map(open.flatMap((run) => run.openRequests.map((id) => [id, run.sessionId] as const)));
  }

  /** The model call that keeps failing, if one does. */
  get retry(): Retry | undefined {
    return [...this.#runs.values()].find((run) => !run.hasEnded && run.retry !== undefined)?.retry;
  }

  /** Why the work goes in circles and must be ended, if it does. */
  get verdict(): Ending | undefined {
    for (const run of this.#runs.values()) if (!run.hasEnded && run.verdict !== undefined) return run.verdict;
    return undefined;
  }

  /** How the prompt ends if OpenCode has done no more with it than it has told. */
  get unanswered(): Ending | undefined {
    return this.#root.unanswered;
  }

  /** The OpenCode session that is prompted. */
  get sessionId(): string {
    return this.#options.sessionId;
  }

  /** The id that the prompt was sent with. */
  get userMessageId(): string {
    return this.#options.userMessageId;
  }

  /** How many messages of an OpenCode session are known to be this prompt's. */
  messageCount(sessionId: string): number {
    return this.#runs.get(sessionId)?.messageCount ?? 0;
  }

  /** When the prompt was sent, epoch ms. */
  get startMs(): number {
    return this.#options.startMs;
  }

  /** Whether the agent has begun to answer. */
  get hasBegun(): boolean {
    return this.#root.hasBegun;
  }

  /** Whether an OpenCode session is at work for this prompt. */
  isBusy(sessionId: string): boolean {
    return this.#runs.get(sessionId)?.isBusy === true;
  }

  /** Whether an OpenCode session worked for this prompt and is done. */
  isOver(sessionId: string): boolean {
    return this.#runs.get(sessionId)?.hasEnded === true;
  }

  get userMessageIds(): ReadonlySet<string> {
    return this.#root.userMessageIds;
  }

  /** Whether an OpenCode session works for this prompt: the prompted one, or a sub-agent's. */
  has(sessionId: string): boolean {
    return this.#runs.has(sessionId);
  }

  /** Likewise, or a sub-agent's of which it is not known yet for which call it works. */
  knows(sessionId: string): boolean {
    return this.#runs.has(sessionId) || this.#held.has(sessionId);
  }

  /** A tool call asks the runner for something: it runs, though OpenCode may not have told so yet. @param atMs epoch ms */
  toolAsked(spanId: string, atMs: number): void {
    this.#log.hasBegunBy(spanId, atMs);
  }

  /** Whether an event is about this prompt's sessions. */
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
   * The work is being cut short, and what ends from now on ends like this. Its first reason counts. The agent's own end is
   * still awaited.
   */
  cut(ending: Ending): void {
    this.#cut ??= ending;
  }

  /** Returns whether a model call must not be made: it is for this prompt, which was cut short. Such a call gets no span. */
  refuses({ sessionId, messageId, userMessageId }: ModelCallRef): boolean {
    if (this.#cut === undefined) return false;
    const run = this.#runs.get(sessionId);
    if (run === undefined) return !this.hasEnded && this.#held.has(sessionId);
    if (!run.userMessageIds.has(userMessageId)) return false;
    run.refuseCall(messageId);
    return true;
  }

  /** OpenCode has not answered a health check, or has answered one again. @param atMs epoch ms of the check, or of the answer */
  applyHealth(isResponsive: boolean, atMs: number): Fact[] {
    if (this.hasEnded) return [];
    if (isResponsive) this.#root.responsive(atMs);
    else this.#root.unresponsive(atMs);
    return this.#log.take();
  }

  /** OpenCode has answered an abort. */
  abortAnswered(atMs: number): Fact[] {
    this.#root.abortAnswered(atMs);
    return this.#log.take();
  }

  /** Ends everything now: the agent is gone, or does not end what was cut short. */
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

  /** The `task` tool names the child session that works for it. */
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

  /** A call that has its result waits for its sub-agent no longer. */
  #endTaskRun(event: AgentEvent, atMs: number): void {
    if (event.type !== "message.part.updated" || event.properties.part.type !== "tool") return;
    const { state } = event.properties.part;
    if (state.status !== "completed" && state.status !== "error") return;
    const run = this.#runs.get(state.metadata?.sessionId ?? "");
    if (run !== undefined && run !== this.#root && !run.hasEnded) run.end(Math.min(state.time.end, atMs));
  }
}
