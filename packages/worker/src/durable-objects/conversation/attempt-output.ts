/**
 * What an attempt yields while it runs, besides spans: parts of the answer, questions and permission requests to a person, steps of
 * a workflow. Each is stored and told to the clients.
 */
import type { FromRunnerOf } from "@valet/shared/protocol/runner-link";
import type { WorkflowStepState } from "@valet/shared/protocol/workflow";
import type { Transactions } from "../core/transactions.ts";
import type { ClientSockets } from "../link/client-sockets.ts";
import type { AttemptRow, JobStore } from "../queue/job-store.ts";
import type { Workflows } from "../workflow/workflows.ts";
import type { AgentRequests } from "./agent-requests.ts";
import type { Conversation } from "./conversation.ts";
import type { PartFeed } from "./part-feed.ts";

export interface AttemptOutputOptions {
  readonly jobs: JobStore;
  readonly workflows: Pick<Workflows, "record">;
  readonly conversation: Conversation;
  readonly requests: AgentRequests;
  readonly parts: PartFeed;
  readonly clients: Pick<ClientSockets, "broadcast">;
  readonly transactions: Transactions;
}

export type OutputFrame = FromRunnerOf<"part" | "part-delta" | "permission-asked" | "question-asked" | "workflow-step">;

export class AttemptOutput {
  readonly #options: AttemptOutputOptions;

  constructor(options: AttemptOutputOptions) {
    this.#options = options;
  }

  /** Takes a frame of a running attempt. @returns whether it said anything new */
  take(attempt: AttemptRow, frame: OutputFrame): boolean {
    switch (frame.type) {
      case "part":
      case "part-delta":
        return this.#takePart(attempt, frame);
      case "permission-asked":
        return this.#takePermission(attempt, frame);
      case "question-asked":
        return this.#takeQuestion(attempt, frame);
      case "workflow-step":
        return this.#takeStep(attempt, frame.state);
    }
  }

  /** Takes the result of an attempt that came to its end: the whole answer, or what is known of each step. */
  finish(attempt: AttemptRow, frame: FromRunnerOf<"turn-ended" | "workflow-ended">, generation: number): void {
    const { conversation } = this.#options;
    const { opencodeSessionId } = frame;
    if (opencodeSessionId !== undefined) conversation.setAgentSession(attempt.channel, opencodeSessionId, generation);
    if (frame.type === "turn-ended") conversation.finish(attempt.id, frame.parts);
    else for (const step of frame.steps) this.#takeStep(attempt, step);
  }

  /** The attempt is over: what there is of its answer stays, and what it asked of a person is closed. */
  end(attemptId: string): void {
    const { conversation, parts, requests, clients, transactions } = this.#options;
    conversation.breakOff(attemptId);
    parts.forget(attemptId);
    const closed = requests.closeOf(attemptId);
    transactions.afterCommit(() => {
      for (const { id, kind } of closed) {
        if (kind === "permission") clients.broadcast({ type: "permission-closed", permissionId: id });
        else clients.broadcast({ type: "question-closed", questionId: id });
      }
    });
  }

  #takePart(attempt: AttemptRow, frame: FromRunnerOf<"part" | "part-delta">): boolean {
    const { jobs, conversation, clients, parts, transactions } = this.#options;
    const heard = parts.hear(lastJob(attempt), frame);
    if (heard === undefined) return false;
    if (jobs.kindOf(attempt) === "message") conversation.addPart(attempt.id, heard.part);
    transactions.afterCommit(() => clients.broadcast(heard.event));
    return true;
  }

  #takePermission(attempt: AttemptRow, frame: FromRunnerOf<"permission-asked">): boolean {
    const { requests, clients, transactions } = this.#options;
    const permission = requests.addPermission(frame, lastJob(attempt));
    if (permission === undefined) return false;
    transactions.afterCommit(() => clients.broadcast({ type: "permission-asked", permission }));
    return true;
  }

  #takeQuestion(attempt: AttemptRow, frame: FromRunnerOf<"question-asked">): boolean {
    const { requests, clients, transactions } = this.#options;
    const question = requests.addQuestion(frame, lastJob(attempt));
    if (question === undefined) return false;
    transactions.afterCommit(() => clients.broadcast({ type: "question-asked", question }));
    return true;
  }

  #takeStep({ jobIds }: AttemptRow, state: WorkflowStepState): boolean {
    const { workflows, clients, transactions } = this.#options;
    const executionId = jobIds[0] ?? "";
    const step = workflows.record(executionId, state);
    if (step === undefined) return false;
    const { index } = state;
    transactions.afterCommit(() => clients.broadcast({ type: "workflow-step", executionId, index, step }));
    return true;
  }
}

/** In a collected batch the answer is to the last message. */
function lastJob({ jobIds }: AttemptRow): string {
  return jobIds.at(-1) ?? "";
}
