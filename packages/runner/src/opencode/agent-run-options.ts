/** What a run is given, and what it knows of a retry: see `agent-run.ts`. */
import type { SpanAttributes } from "@valet/shared/spans";
import type { ProviderError } from "../agent/errors.ts";
import type { FactLog } from "../agent/fact-log.ts";
import type { Ending, FactAttributes } from "../agent/facts.ts";
import type { McpWait } from "./mcp-servers.ts";

export interface AgentRunOptions {
  readonly log: FactLog;
  readonly attemptId: string;
  readonly sessionId: string;
  readonly spanId: string;
  /** The span of the `task` call; `undefined` for the turn's own run. */
  readonly parentId: string | undefined;
  /** User messages from before this time are not the run's own. OpenCode may update them late. */
  readonly sinceMs: number;
  /** The prompt's message id, if the runner created it; the prompt was then sent at `sinceMs`. */
  readonly userMessageId?: string;
  readonly attributes?: FactAttributes;
  readonly model: ModelFacts;
  cutShort(): Ending | undefined;
  /** Whether a user message belongs to another turn. From then on this run gets no more of them. */
  isOthers(messageId: string): boolean;
  /** Tools that the agent may call repeatedly with the same arguments. */
  readonly pollingTools: ReadonlySet<string>;
}

/** What is known about model calls, and the time before them, from other sources than their events. */
export interface ModelFacts {
  /** The address of the deployment's own endpoint. */
  readonly ownServer: SpanAttributes<`chat ${string}`>;
  /** The OpenCode sessions whose history was compacted. The run adds to it. */
  readonly compacted: Set<string>;
  /** Returns the part of a preparation in which it waits for MCP servers: see `AgentAccess`. */
  readonly mcpWait?: (fromMs: number, untilMs: number) => McpWait | undefined;
}

/** The last failure of a model call that OpenCode retries, to decide whether to wait for the retry. */
export interface Retry {
  readonly error: ProviderError;
  /** How often the same call has failed in a row. */
  readonly failures: number;
  /** When OpenCode retries, epoch ms. */
  readonly nextMs: number;
}
