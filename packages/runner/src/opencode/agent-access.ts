/** What a turn uses of OpenCode: see `opencode.ts`. */
import type { LimitError } from "@valet/shared/limit-errors";
import type { ErrorType } from "@valet/shared/spans";
import type { Parent, SpanContext } from "@valet/shared/tracing";
import type { OpenCodeClient } from "./client.ts";
import type { AgentEvent } from "./events.ts";
import type { McpWait } from "./mcp-servers.ts";

/** The part of `OpenCode` that a turn uses; tests implement it, too. */
export interface AgentAccess {
  /** Resolves to a healthy OpenCode, restarted if it has died. @param parent of the span of a start, or of the wait for one */
  ready(parent: Parent): Promise<OpenCodeClient>;
  /**
   * Makes the first requests of a job, like {@link ready} with an OpenCode that is healthy. They do not wait for its health check:
   * if OpenCode hangs, they are made again once it has been replaced.
   * @param request may be called twice
   * @throws OpenCodeStartError, or the error of the request
   */
  begin<T>(parent: Parent, request: (client: OpenCodeClient) => Promise<T>): Promise<T>;
  /**
   * Begins to restart OpenCode if it has died, without waiting for it, since no job needs it yet.
   * @param cause the span of the work during which it died
   */
  restart(cause: SpanContext): void;
  /**
   * Checks OpenCode's health. Kills an OpenCode that does not answer in time, and notifies the listeners. Never rejects.
   * @param onSilent called when the first request was not answered; never after the returned promise has resolved
   * @returns whether OpenCode hung
   */
  check(onSilent: () => void): Promise<boolean>;
  /** Makes permits invalid that the plugin requested ahead, because the runner refuses model calls from now on. Never throws. */
  refuseCalls(): void;
  /**
   * Returns the part of a prompt's preparation in which it waits for MCP servers; `undefined` if it does not.
   * @param untilMs when the preparation ends; infinity if it goes on. Epoch ms
   */
  mcpWait?(fromMs: number, untilMs: number): McpWait | undefined;
  /** @returns a function that ends the subscription */
  subscribe(listener: AgentListener): () => void;
}

export interface AgentListener {
  /** @param readMs when the event was read, epoch ms */
  onEvent(event: AgentEvent, readMs: number): void;
  /** Called after a reconnect. Events may have been lost, which the history replaces. */
  onReconnected(): void;
  /** Called when OpenCode has connected to its MCP servers, as far as it can. */
  onMcpConnected?(): void;
  onDeath(errorType: DeathType): void;
}

/** Why a running OpenCode ended: it exited, it was killed because it did not respond, or the sandbox was at a limit. */
export type DeathType = Extract<ErrorType, "opencode_died" | "opencode_hung"> | LimitError;
