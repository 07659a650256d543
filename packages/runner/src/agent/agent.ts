/**
 * The port to a coding agent. The rest of the runner knows nothing else about the agent. To add an agent, write a folder next
 * to `opencode/` that implements {@link Agent}, and a file next to `opencode-agent.ts` that starts the agent's process and
 * passes it to the runner. An implementation must
 *
 * - start the agent's process, notice when it has died or hangs, and restart it;
 * - prepare a started agent for its first prompt, as long as that costs nothing and delays no prompt;
 * - keep sessions, so that a later prompt has the earlier conversation as context;
 * - run a prompt with one model, report its events as {@link Fact}s, and return how it ended;
 * - abort a prompt, and end a stuck prompt itself, according to {@link PromptLimits};
 * - ask a person for permissions and answers, and pass on the replies;
 * - read the answer from its own history, since a connection may lose part of it.
 *
 * This room turns the facts of any agent into spans and figures (`span-emitter.ts`, `turn-tally.ts`). `fact-log.ts` keeps facts
 * well-formed, `loop-guard.ts` detects work that makes no progress.
 */
import type { MessagePart } from "@valet/shared/protocol/message-part";
import type { FromRunnerOf, ToRunnerOf } from "@valet/shared/protocol/runner-link";
import type { SpanContext } from "@valet/shared/tracing";
import type { Ending, Fact } from "./facts.ts";

export interface Agent {
  /**
   * Opens a session of the agent. Restarts the agent if it has died or hangs.
   * @throws if the agent cannot be started or does not answer
   */
  open(request: OpenRequest): Promise<AgentSession>;
  /**
   * Begins to restart the agent if it has died, without waiting for it, since no job needs it yet.
   * @param cause the span of the work during which it died
   */
  restart(cause: SpanContext): void;
}

export interface OpenRequest {
  /** The parent of the span of a start of the agent, or of the wait for one. */
  readonly parent: { readonly context: SpanContext };
  /** The wanted session. The agent creates a new one if this is absent or no longer exists. */
  readonly sessionId?: string | undefined;
}

/** A conversation with the agent. A session runs one prompt at a time. */
export interface AgentSession {
  /** The agent's own id, by which a later job opens the session again. */
  readonly id: string;
  /** Whether the session has no earlier conversation as context. */
  readonly isNew: boolean;
  /** Creates a prompt, which {@link AgentPrompt.run} sends. */
  prompt(request: PromptRequest): AgentPrompt;
  /** Passes on a person's reply to a request of this session. @throws if the agent does not accept it */
  reply(reply: AgentReply): Promise<void>;
}

export interface PromptRequest {
  /** The attempt that the prompt belongs to. */
  readonly attemptId: string;
  readonly parts: readonly PromptPart[];
  /** The model as the session names it: `provider/model`, or a model of the provider that the deployment configures. */
  readonly model: string;
  /** The model's position in the preference list, from 1. */
  readonly place: number;
  /** The parent of the prompt's spans. */
  readonly parent: { readonly context: SpanContext; readonly isRecording: boolean };
  readonly limits: PromptLimits;
  /** Tools that the agent may call repeatedly with the same arguments. */
  readonly pollingTools: ReadonlySet<string>;
  /** The clock of the job, epoch ms. */
  nowMs(): number;
  onFacts(facts: readonly Fact[]): void;
  /** Called when a part of the answer has changed. {@link AgentPrompt.part} returns it. */
  onPart(partId: string): void;
  /** Called when the agent asks a person something; possibly twice for the same request. */
  onAsked(asked: AgentAsks): void;
  /** Called when events show progress, or when silence is expected. At most a few times per {@link PromptLimits.silenceMs}. */
  onWorking(): void;
}

/** A part of a prompt. The user did not write a synthetic part. */
export type PromptPart =
  | { readonly type: "text"; readonly text: string; readonly synthetic?: boolean }
  | { readonly type: "file"; readonly mime: string; readonly filename: string; readonly url: string };

/** When the agent's prompt is ended. */
export interface PromptLimits {
  /** The maximum time without an event, unless the agent waits for a person or for a tool with its own time limit. */
  readonly stuckMs: number;
  /** The time without an event after which a health check of the agent's process runs, and the interval of further checks. */
  readonly silenceMs: number;
  /** How long a tool may run past its own time limit. The agent does not end such a tool if a process holds its output open. */
  readonly overrunMs: number;
  /** The maximum number of failures of one model call. */
  readonly maxFailures: number;
  /** The longest wait before a retry of a model call. A longer one ends the prompt. */
  readonly maxRetryWaitMs: number;
  /** How long the agent may take to end an aborted prompt. */
  readonly abortTimeoutMs: number;
}

/** One prompt to one model, including the sub-agents that work for it. */
export interface AgentPrompt {
  /** The context of its `invoke_agent` span, known before the span begins. */
  readonly context: SpanContext;
  /** Whether the agent, or a sub-agent, waits for a person. */
  readonly isWaiting: boolean;
  /** Sends the prompt, and resolves to how it ended. Never rejects. */
  run(): Promise<Ending>;
  /**
   * Aborts the prompt. All its spans that end from now on end with `ending`. Resolves once the agent is idle, or did not become
   * idle in time.
   */
  abort(ending: Ending): Promise<void>;
  /** Returns the current state of a part of the answer. */
  part(partId: string): MessagePart | undefined;
  /** Returns the answer as far as events reported it. */
  seenParts(): MessagePart[];
  /** Whether the agent's history may have another answer than the events told. */
  readonly historyMayDiffer: boolean;
  /**
   * Reads the answer from the agent's history.
   * @param timeoutMs how long the agent may take; the timeout of all calls by default
   * @throws if the agent does not answer
   */
  readParts(context: SpanContext, timeoutMs?: number): Promise<MessagePart[]>;
  /**
   * Returns the id of a tool call's span, even if no event has reported the call yet; `undefined` if the call does not belong
   * to this prompt. The call asks the runner for something at `atMs`, epoch ms, so its span begins no later.
   */
  toolSpan(call: ToolCallRef, atMs: number): string | undefined;
  /** Whether this prompt, or a sub-agent of it, works in a session of the agent. */
  worksIn(sessionId: string): boolean;
  /**
   * Decides whether the agent may make a model call, which may belong to another prompt. Resolves once everything that the
   * agent reported before the call has been applied, or after `callCatchUpMs`; for the first call of
   * this prompt, once everything is applied that the runner has read. Calls of this prompt are refused from its abort
   * on, also after its end.
   */
  permitModelCall(call: ModelCallRef): Promise<ModelCallPermit>;
}

export interface ModelCallPermit {
  readonly isRefused: boolean;
  /** The id of the call's span, which may not have begun yet; absent if the call does not belong to this prompt. */
  readonly spanId?: string;
}

/** The agent's request to a person: for a permission, or for an answer. */
export type AgentAsks = FromRunnerOf<"permission-asked" | "question-asked">;
/** The person's reply. */
export type AgentReply = ToRunnerOf<"permission-reply" | "question-reply">;

/** A model call, by the agent's own ids. */
export interface ModelCallRef {
  readonly sessionId: string;
  /** The message that the call produces. */
  readonly messageId: string;
  /** The message that the call answers. */
  readonly userMessageId: string;
}

/** A tool call, by the agent's own ids. */
export interface ToolCallRef {
  readonly sessionId: string;
  readonly messageId: string;
  readonly callId: string;
}
