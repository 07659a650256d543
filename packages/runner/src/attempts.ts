/**
 * The attempts that were dispatched to this sandbox: what is promised and owed for each, from its acceptance to the
 * acknowledgement of its end, also across the death of a runner.
 */
import type { FromRunner, FromRunnerOf, PromptDispatch, TurnSummary } from "@valet/shared/protocol/runner-link";
import type { ErrorType } from "@valet/shared/spans";
import { parseOpenSpan } from "@valet/shared/tracing";
import type { Journal, RunningAttempt, TurnEnded } from "./journal.ts";
import type { RunningTurn } from "./prompt.ts";
import type { SpanOutbox } from "./span-outbox.ts";
import { endWith, type SpanOf, type Tracing } from "./tracing.ts";
import type { AbortReason, AgentAsks, AgentReply, TurnResult } from "./turn.ts";

/** What a turn tells while it is in work. */
export type TurnNews = FromRunnerOf<"part"> | AgentAsks;

/** Works on dispatches, one turn each, those of different channels side by side. */
export interface Turns {
  run(dispatch: PromptDispatch): RunningTurn;
  /** Ends the turn of this attempt, if there is one. */
  abort(attemptId: string, reason: AbortReason): Promise<void>;
  /** Passes on what a person said to what the agent asked. */
  reply(reply: AgentReply): Promise<void>;
}

export interface AttemptsOptions {
  readonly journal: Journal;
  readonly outbox: SpanOutbox;
  readonly tracing: Tracing;
  /** Sends a frame if there is a link. */
  send(frame: FromRunner): unknown;
  /** What goes wrong and is survived; never quotes content. */
  onProblem(problem: string): void;
}

/** A turn of which nothing is known. */
const NO_SUMMARY: TurnSummary = {
  turnMs: 0,
  modelMs: 0,
  toolMs: 0,
  permissionWaitMs: 0,
  modelCalls: 0,
  toolCalls: 0,
  toolErrors: 0,
  retries: 0,
  tokens: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, reasoning: 0 },
  costUsd: 0,
};

export class Attempts {
  readonly #options: AttemptsOptions;
  /** Turns in work, by attempt. */
  readonly #running = new Map<string, Promise<void>>();
  /** What the agent waits for a person to answer, by its id. */
  readonly #asked = new Map<string, AgentAsks>();
  #turns: Turns | undefined;
  #isOpen = false;
  #onSettled: (() => void) | undefined;

  constructor(options: AttemptsOptions) {
    this.#options = options;
  }

  /** Those in work, and those whose end is not acknowledged. */
  get ids(): string[] {
    const { journal } = this.#options;
    return [...journal.running(), ...journal.unacknowledged()].map(({ attemptId }) => attemptId);
  }

  /** What the runner before this one was working on went with it: it is reported, and its span ended. */
  endWhatDied(): void {
    const { journal, tracing } = this.#options;
    for (const { attemptId, span } of journal.running()) {
      const open = span === undefined ? undefined : parseOpenSpan(span);
      if (open !== undefined) {
        const turn = tracing.base.resumeSpan(open) as SpanOf<"valet.turn">;
        const { lastWriteMs } = journal;
        if (lastWriteMs !== undefined) turn.setAttribute("valet.last_seen_ms", Math.floor(lastWriteMs));
        endWith(turn, "lost", "runner_lost");
      }
      this.#finish(attemptId, failure("runner_lost"));
    }
  }

  /** From now on attempts are accepted. */
  open(turns: Turns): void {
    this.#turns = turns;
    this.#isOpen = true;
  }

  /** No longer. */
  close(): void {
    this.#isOpen = false;
  }

  /** Begins to work on a dispatch. One that came before is not worked on again; what is known of it is told again. */
  receive(dispatch: PromptDispatch): void {
    const { journal, onProblem } = this.#options;
    const { attemptId } = dispatch;
    switch (journal.stateOf(attemptId)) {
      case "running":
        for (const running of journal.running()) if (running.attemptId === attemptId) this.#sendAccepted(running);
        break;
      case "ended":
        for (const frame of journal.unacknowledged()) if (frame.attemptId === attemptId) this.#options.send(frame);
        break;
      case "settled":
        onProblem("an attempt came again after its end");
        break;
      case undefined:
        if (this.#turns !== undefined && this.#isOpen) this.#begin(this.#turns, dispatch);
        else this.#refuse(attemptId, "not_accepted");
    }
  }

  abort(attemptId: string, reason: AbortReason): void {
    this.#turns?.abort(attemptId, reason).catch((error: Error) => {
      this.#options.onProblem(`a turn could not be aborted: ${error.name}`);
    });
  }

  /** Ends all turns. Resolves when they have ended. */
  async abortAll(reason: AbortReason): Promise<void> {
    for (const attemptId of this.#running.keys()) this.abort(attemptId, reason);
    await Promise.all(this.#running.values());
  }

  reply(reply: AgentReply): void {
    this.#asked.delete(reply.type === "permission-reply" ? reply.permissionId : reply.questionId);
    this.#turns?.reply(reply).catch((error: Error) => {
      this.#options.onProblem(`the agent could not be told what a person answered: ${error.name}`);
    });
  }

  /** The end of this attempt is durable where it belongs. */
  acknowledged(attemptId: string): void {
    const { journal, onProblem } = this.#options;
    if (journal.stateOf(attemptId) === "ended") this.#write(() => journal.settle(attemptId));
    else onProblem("a turn was acknowledged that had not ended");
    if (journal.unacknowledged().length === 0) this.#onSettled?.();
  }

  /** Resolves when all ends are acknowledged. */
  whenSettled(): Promise<void> {
    if (this.#options.journal.unacknowledged().length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onSettled = resolve;
    });
  }

  /** Passes on what a turn tells. What a person is asked is asked again on a new link. */
  tell(news: TurnNews): void {
    if (news.type === "permission-asked") this.#asked.set(news.permissionId, news);
    else if (news.type === "question-asked") this.#asked.set(news.questionId, news);
    this.#options.send(news);
  }

  /** There is a new link: what is in work is told again. */
  resendRunning(): void {
    for (const running of this.#options.journal.running()) this.#sendAccepted(running);
    for (const frame of this.#asked.values()) this.#options.send(frame);
  }

  /** And what has ended unacknowledged. */
  resendEnded(): void {
    for (const frame of this.#options.journal.unacknowledged()) this.#options.send(frame);
  }

  #begin(turns: Turns, dispatch: PromptDispatch): void {
    const { journal, tracing, onProblem } = this.#options;
    const { attemptId } = dispatch;
    tracing.clock.anchor();
    let turn: RunningTurn;
    try {
      journal.accept(attemptId);
      turn = turns.run(dispatch);
    } catch (error) {
      onProblem(`a turn could not begin: ${(error as Error).name}`);
      this.#write(() => journal.settle(attemptId));
      this.#refuse(attemptId, "_OTHER");
      return;
    }
    const { openSpan } = turn;
    if (openSpan !== undefined) this.#write(() => journal.begin(attemptId, openSpan));
    this.#sendAccepted({ attemptId, span: openSpan });
    const finished = turn.done.then(
      (result) => this.#finish(attemptId, result),
      (error: Error) => {
        onProblem(`a turn failed: ${error.name}`);
        this.#finish(attemptId, failure("_OTHER"));
      },
    );
    this.#running.set(attemptId, finished);
  }

  /** The turn's spans go first: whoever hears of its end finds them. */
  #finish(attemptId: string, result: TurnResult): void {
    const { journal, outbox, send } = this.#options;
    this.#running.delete(attemptId);
    for (const [id, asked] of this.#asked) if (asked.attemptId === attemptId) this.#asked.delete(id);
    const frame: TurnEnded = { ...result, type: "turn-ended", attemptId };
    outbox.flush();
    this.#write(() => journal.end(frame));
    send(frame);
  }

  #sendAccepted({ attemptId, span }: RunningAttempt): void {
    this.#options.send({ type: "prompt-accepted", attemptId, ...(span !== undefined && { span }) });
  }

  #refuse(attemptId: string, errorType: ErrorType): void {
    this.#options.send({ type: "prompt-refused", attemptId, errorType });
  }

  /** A disk that fails in the middle of a turn costs what a crash would lose, not the turn. */
  #write(write: () => void): void {
    try {
      write();
    } catch (error) {
      this.#options.onProblem(`the journal cannot be written: ${(error as NodeJS.ErrnoException).code}`);
    }
  }
}

function failure(errorType: ErrorType): TurnResult {
  return { outcome: "error", errorType, parts: [], summary: NO_SUMMARY };
}
