/**
 * The port to a coding agent: all that the rest of the runner knows of one. Another agent is added by a folder beside
 * `opencode/` that implements {@link Agent}, and by a file beside `opencode-agent.ts` that starts its process and gives it to
 * the runner. It has to
 *
 * - start its process, know when that has died or hangs, and start it anew;
 * - keep sessions, so that a later prompt knows what went before;
 * - take a prompt for one model, tell what comes of it as {@link Fact}s, and say how it ended;
 * - abort a prompt, and end it itself where it is stuck, by {@link PromptLimits};
 * - ask a person for permissions and answers, and take the replies;
 * - tell the answer again from its own history, since a connection may have lost part of it.
 *
 * Facts become spans and figures here (`span-emitter.ts`, `turn-tally.ts`), whatever agent they come from. `fact-log.ts` keeps
 * them well-formed, `loop-guard.ts` notices work that leads nowhere.
 */
import type { MessagePart } from "@valet/shared/protocol/message-part";
import type { FromRunnerOf, ToRunnerOf } from "@valet/shared/protocol/runner-link";
import type { SpanContext } from "@valet/shared/tracing";
import type { Ending, Fact } from "./facts.ts";

export interface Agent {
  /**
   * Opens a session of the agent, which is started anew if it has died or hangs.
   * @throws when the agent cannot be started or does not answer
   */
  open(request: OpenRequest): Promise<AgentSession>;
  /**
   * Begins to start the agent anew if it has died, and does not wait for it: nobody's job is waiting yet.
   * @param cause what it died in
   */
  restart(cause: SpanContext): void;
}

export interface OpenRequest {
  /** What a start of the agent, or the wait for one, is part of. */
  readonly parent: { readonly context: SpanContext };
  /** The session that is wanted; a new one where there is none, or none any more. */
  readonly sessionId?: string | undefined;
}

/** A conversation with the agent. Prompts of one session come one after the other. */
export interface AgentSession {
  /** The agent's own, by which a later job finds it. */
  readonly id: string;
  /** Whether it knows nothing of what went before. */
  readonly isNew: boolean;
  /** Makes a prompt, which is sent by {@link AgentPrompt.run}. */
  prompt(request: PromptRequest): AgentPrompt;
  /** Passes on what a person answered to a request of this session. @throws when the agent does not take it */
  reply(reply: AgentReply): Promise<void>;
}

export interface PromptRequest {
  /** The attempt that it is for. */
  readonly attemptId: string;
  readonly parts: readonly PromptPart[];
  /** As the session names it: `provider/model`, or a model of the provider that the deployment configures. */
  readonly model: string;
  /** The model's place in the list of preference, from 1. */
  readonly place: number;
  /** The span that those of the prompt hang below. */
  readonly parent: { readonly context: SpanContext; readonly isRecording: boolean };
  readonly limits: PromptLimits;
  /** Tools that may be asked for the same again and again. */
  readonly pollingTools: ReadonlySet<string>;
  /** The clock of the job, epoch ms. */
  nowMs(): number;
  onFacts(facts: readonly Fact[]): void;
  /** A part of the answer has changed: {@link AgentPrompt.part}. */
  onPart(partId: string): void;
  /** The agent asks something of a person. The same request may be told twice. */
  onAsked(asked: AgentAsks): void;
  /** The prompt is worked on, as its events show, or its silence is as it should be. At most a few times in the time of a silence. */
  onWorking(): void;
}

/** A piece of a prompt. What is synthetic was not said by the user. */
export type PromptPart =
  | { readonly type: "text"; readonly text: string; readonly synthetic?: boolean }
  | { readonly type: "file"; readonly mime: string; readonly filename: string; readonly url: string };

/** When a prompt is given up. */
export interface PromptLimits {
  /** How long there may be no event, unless the agent waits for a person, or for a tool that has a time limit of its own. */
  readonly stuckMs: number;
  /** After how long without an event, and how often then, it is checked whether the agent's process answers at all. */
  readonly silenceMs: number;
  /** How long a tool may go on after its own time limit, in which the agent has not ended it: its output is held open then. */
  readonly overrunMs: number;
  /** How often the same model call may fail. */
  readonly maxFailures: number;
  /** The longest wait before the agent calls a model again that is worth waiting for. */
  readonly maxRetryWaitMs: number;
  /** How long the agent may take to end what was aborted. */
  readonly abortTimeoutMs: number;
}

/** One prompt for one model, with the sub-agents that work for it. */
export interface AgentPrompt {
  /** The context of its `invoke_agent` span, known before that begins. */
  readonly context: SpanContext;
  /** Whether the agent, or a sub-agent, waits for a person. */
  readonly isWaiting: boolean;
  /** Sends it, and resolves to how it ended. Never rejects. */
  run(): Promise<Ending>;
  /**
   * Cuts it short: what ends from now on ends like this. Resolves once the agent has come to rest, or was given up because it
   * did not.
   */
  abort(ending: Ending): Promise<void>;
  /** A part of the answer as it is by now. */
  part(partId: string): MessagePart | undefined;
  /** The answer as it was seen to come. */
  seenParts(): MessagePart[];
  /**
   * Reads the answer from the agent's history.
   * @param timeoutMs how long the agent may take; as long as for any call unless given
   * @throws when the agent does not answer
   */
  readParts(context: SpanContext, timeoutMs?: number): Promise<MessagePart[]>;
  /**
   * Returns the span of a tool call, told of or not; `undefined` if the call is not this prompt's. The call asks the runner for
   * something by then, so that its span begins by `atMs`, epoch ms.
   */
  toolSpan(call: ToolCallRef, atMs: number): string | undefined;
  /** Returns the span of a model call, told of or not; `undefined` if the call is not this prompt's. */
  modelSpan(call: ModelCallRef): string | undefined;
}

/** What the agent asks of a person: a permission, or an answer. */
export type AgentAsks = FromRunnerOf<"permission-asked" | "question-asked">;
/** What the person says to it. */
export type AgentReply = ToRunnerOf<"permission-reply" | "question-reply">;

/** A model call, by the agent's own ids. */
export interface ModelCallRef {
  readonly sessionId: string;
  readonly messageId: string;
}

/** A tool call, likewise. */
export interface ToolCallRef extends ModelCallRef {
  readonly callId: string;
}
