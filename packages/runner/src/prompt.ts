/** Takes dispatches to the agent: turns of different channels side by side, those of one channel in order, none twice. */
import type { PromptDispatch } from "@valet/shared/protocol/runner-link";
import type { PromptLimits } from "./opencode/agent-prompt.ts";
import { type AbortReason, type AgentReply, Turn, type TurnOptions, type TurnResult } from "./turn.ts";

export type { AbortReason, AgentAsks, AgentReply, TurnResult } from "./turn.ts";

export interface PromptRunnerOptions extends Omit<TurnOptions, "limits" | "messageIds" | "partIntervalMs"> {
  /** How long a turn may go without any event of the agent before it is ended as stuck. */
  readonly stuckTurnMs: number;
  readonly limits?: Partial<Omit<PromptLimits, "stuckMs">>;
  readonly partIntervalMs?: number;
}

/** A turn that has begun. */
export interface RunningTurn {
  /** `valet.turn`, open, as `serialiseSpan` writes it; none where nothing is recorded. */
  readonly openSpan: string | undefined;
  /** Never rejects. */
  readonly done: Promise<TurnResult>;
}

/** With 2, 4 and 8 s between them. */
const MAX_FAILURES = 4;
const MAX_RETRY_WAIT_MS = 60_000;
const ABORT_TIMEOUT_MS = 5_000;
const PART_INTERVAL_MS = 100;
/** Finished attempts that are remembered, should their dispatch come again. */
const MAX_FINISHED = 100;

export class PromptRunner {
  readonly #options: TurnOptions;
  readonly #turns = new Map<string, RunningTurn & { readonly turn: Turn }>();
  /** The last turn of each channel that has one at work. */
  readonly #channels = new Map<string, Promise<unknown>>();
  readonly #busy = new Set<string>();

  constructor(options: PromptRunnerOptions) {
    const { stuckTurnMs, limits, partIntervalMs = PART_INTERVAL_MS, ...rest } = options;
    this.#options = {
      ...rest,
      partIntervalMs,
      messageIds: new Set(),
      limits: {
        stuckMs: stuckTurnMs,
        maxFailures: MAX_FAILURES,
        maxRetryWaitMs: MAX_RETRY_WAIT_MS,
        abortTimeoutMs: ABORT_TIMEOUT_MS,
        ...limits,
      },
    };
  }

  /** The attempts that are being worked on. */
  get busy(): readonly string[] {
    return [...this.#busy];
  }

  /** Begins to work on an attempt; one that was taken before is not worked on again, and its turn is returned. */
  run(dispatch: PromptDispatch): RunningTurn {
    const { attemptId, channel } = dispatch;
    const known = this.#turns.get(attemptId);
    if (known !== undefined) return known;
    const turn = new Turn(this.#options, dispatch);
    const done = turn.run(this.#channels.get(channel) ?? Promise.resolve());
    const running = { turn, openSpan: turn.openSpan, done };
    this.#turns.set(attemptId, running);
    this.#busy.add(attemptId);
    this.#channels.set(channel, done);
    void done.then(() => {
      this.#busy.delete(attemptId);
      if (this.#channels.get(channel) === done) this.#channels.delete(channel);
      this.#forget();
    });
    return running;
  }

  /**
   * Cuts an attempt short; nothing if it is not being worked on. Resolves when the agent has come to rest, shortly before the
   * turn's own promise does.
   */
  async abort(attemptId: string, reason: AbortReason): Promise<void> {
    if (this.#busy.has(attemptId)) await this.#turns.get(attemptId)?.turn.abort(reason);
  }

  /** Cuts everything short and waits until all turns have ended. */
  async abortAll(reason: AbortReason): Promise<void> {
    const ended = this.busy.map((attemptId) => this.#turns.get(attemptId)?.done);
    await Promise.all(this.busy.map((attemptId) => this.abort(attemptId, reason)));
    await Promise.all(ended);
  }

  /**
   * Passes on what a person answered. An answer to what no turn at work has asked for is dropped.
   * @throws OpenCodeError when OpenCode does not take it
   */
  async reply(reply: AgentReply): Promise<void> {
    for (const attemptId of this.#busy) await this.#turns.get(attemptId)?.turn.reply(reply);
  }

  #forget(): void {
    for (const attemptId of this.#turns.keys()) {
      if (this.#turns.size - this.#busy.size <= MAX_FINISHED) return;
      if (!this.#busy.has(attemptId)) this.#turns.delete(attemptId);
    }
  }
}
