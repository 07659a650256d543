/**
 * Prepares a started OpenCode for its first message. At the first prompt OpenCode needs 1.5 s to load its providers, plugins
 * and tools, and its state for a folder. The runner therefore sends it a prompt before a person does. Valet's plugin answers
 * the prompt's model call inside OpenCode's process, without a request to a provider and without cost. The runner deletes the
 * prompt's session, and no turn receives its events.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { endWith, type SpanOf } from "@valet/shared/outcome";
import { CHILD_SESSION_TOOLS } from "@valet/shared/protocol/child-sessions";
import type { EndReason, ValetSpans, WarmUpScope } from "@valet/shared/spans";
import type { SpanContext, Tracer } from "@valet/shared/tracing";
import { type OpenCodeClient, OpenCodeError, type Prompt } from "./client.ts";
import { newWarmUpMessageId } from "./ids.ts";

export interface WarmUpOptions {
  /** A client for the folder to prepare. */
  readonly client: OpenCodeClient;
  readonly tracer: Tracer<ValetSpans>;
  /** The start of OpenCode, which does not wait for its warm-up. */
  readonly start: SpanContext;
  readonly scope: WarmUpScope;
  readonly model: Prompt["model"];
}

type Reason = EndReason<"valet.runner.agent_warm_up">;

/** The title of warm-up sessions, by which those of a dead OpenCode or runner are found. */
const TITLE = "Valet warm-up";
const TEXT = "Answer with one word.";
/** Longer than OpenCode's default timeout for the MCP servers of a repository. */
const TIMEOUT_MS = 120_000;
/** From the end of OpenCode's process to the notice of it. */
const DEATH_NOTICE_MS = 5_000;

export class WarmUp {
  /** Resolves once its session has been deleted, or OpenCode does not answer. Never rejects. */
  readonly done: Promise<void>;
  readonly #options: WarmUpOptions;
  readonly #span: SpanOf<"valet.runner.agent_warm_up">;
  readonly #ended = Promise.withResolvers<void>();
  #hasEnded = false;

  constructor(options: WarmUpOptions) {
    this.#options = options;
    this.#span = options.tracer.startSpan("valet.runner.agent_warm_up", {
      parent: options.start,
      attributes: { "valet.warm_up.scope": options.scope },
    });
    this.done = this.#run();
  }

  /**
   * Ends the warm-up, if it is still running. Work that needs OpenCode does not wait for it. Its prompt is not aborted: an OpenCode that
   * is aborted while it loads its state for a folder ends every later prompt there as aborted.
   */
  skip(): void {
    this.#end("skipped", "agent_needed");
  }

  /** Ends the warm-up because OpenCode is being stopped. */
  stop(): void {
    this.#end("aborted", "runner_shutdown");
  }

  /** Ends the warm-up because OpenCode has ended. */
  fail(reason: Reason): void {
    this.#end("error", reason);
  }

  #end(outcome: "ok" | "skipped" | "aborted" | "error", reason?: Reason): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    endWith(this.#span, outcome, reason);
    this.#ended.resolve();
  }

  async #run(): Promise<void> {
    let sessionId: string | undefined;
    try {
      if (!(await this.#isPossible())) throw new Error("OpenCode has not loaded the plugin");
      if (!this.#hasEnded) await this.#deleteLeft();
      if (!this.#hasEnded) sessionId = await this.#options.client.createSession(this.#context, TITLE);
      if (!this.#hasEnded && sessionId !== undefined) await this.#prompt(sessionId);
      this.#end("ok");
    } catch (error) {
      const hasNoAnswer = error instanceof OpenCodeError && error.status === undefined;
      // A broken connection is often the first sign of a death, which is then reported by its own name.
      if (hasNoAnswer) await Promise.race([this.#ended.promise, sleep(DEATH_NOTICE_MS, undefined, { ref: false })]);
      this.#end("error", "agent_warm_up_failed");
    }
    // If this fails, the next warm-up deletes the session.
    if (sessionId !== undefined) await this.#options.client.deleteSession(sessionId, this.#context).catch(() => {});
  }

  get #context(): SpanContext {
    return this.#span.context;
  }

  /** Returns whether Valet's plugin is loaded. Without it, the prompt would cause a request to a provider. */
  async #isPossible(): Promise<boolean> {
    const names = await this.#options.client.toolNames(this.#context, TIMEOUT_MS);
    return names.includes(CHILD_SESSION_TOOLS.spawn);
  }

  async #deleteLeft(): Promise<void> {
    const { client } = this.#options;
    const left = await client.sessionsTitled(TITLE, this.#context);
    await Promise.all(left.map((id) => client.deleteSession(id, this.#context)));
  }

  async #prompt(sessionId: string): Promise<void> {
    const { client, model } = this.#options;
    const prompt = { messageID: newWarmUpMessageId(), model, parts: [{ type: "text", text: TEXT } as const] };
    await client.promptAndWait(sessionId, prompt, this.#context, TIMEOUT_MS);
  }
}
