/**
 * Stores what an attempt yields besides spans, and sends it to the clients: parts of the answer, questions and permission requests
 * to a person, steps of a workflow.
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
  /** Records a change of the session. */
  readonly changed: () => void;
}

export type OutputFrame = FromRunnerOf<"part" | "part-delta" | "permission-asked" | "question-asked" | "workflow-step">;

export class AttemptOutput {
  readonly #options: AttemptOutputOptions;

  constructor(options: AttemptOutputOptions) {
    this.#options = options;
  }

  /** Stores the contents of a frame about a running attempt. @returns whether they are new */
  add(attempt: AttemptRow, frame: OutputFrame): boolean {
    switch (frame.type) {
      case "part":
      case "part-delta":
        return this.#addPart(attempt, frame);
      case "permission-asked":
        return this.#addPermission(attempt, frame);
      case "question-asked":
        return this.#addQuestion(attempt, frame);
      case "workflow-step":
        return this.#recordStep(attempt, frame.state);
    }
  }

  /** Stores the result of an attempt that the runner has ended: the whole answer, or the state of each step. */
  finish(attempt: AttemptRow, frame: FromRunnerOf<"turn-ended" | "workflow-ended">, generation: number): void {
    const { conversation } = this.#options;
    const { opencodeSessionId } = frame;
    if (opencodeSessionId !== undefined) conversation.setAgentSession(attempt.channel, opencodeSessionId, generation);
    if (frame.type === "turn-ended") conversation.finish(attempt.id, frame.parts);
    else for (const step of frame.steps) this.#recordStep(attempt, step);
  }

  /** Ends the output of an attempt: stores the part of its answer that exists, and closes its requests to a person. */
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

  #addPart(attempt: AttemptRow, frame: FromRunnerOf<"part" | "part-delta">): boolean {
    const { jobs, conversation, clients, parts, transactions } = this.#options;
    const update = parts.apply(lastJob(attempt), frame);
    if (update === undefined) return false;
    if (jobs.kindOf(attempt) === "message") conversation.addPart(attempt.id, update.part);
    transactions.afterCommit(() => clients.broadcast(update.event));
    return true;
  }

  #addPermission(attempt: AttemptRow, frame: FromRunnerOf<"permission-asked">): boolean {
    const { requests, clients, transactions, changed } = this.#options;
    const permission = requests.addPermission(frame, lastJob(attempt));
    if (permission === undefined) return false;
    changed();
    transactions.afterCommit(() => clients.broadcast({ type: "permission-asked", permission }));
    return true;
  }

  #addQuestion(attempt: AttemptRow, frame: FromRunnerOf<"question-asked">): boolean {
    const { requests, clients, transactions, changed } = this.#options;
    const question = requests.addQuestion(frame, lastJob(attempt));
    if (question === undefined) return false;
    changed();
    transactions.afterCommit(() => clients.broadcast({ type: "question-asked", question }));
    return true;
  }

  #recordStep({ jobIds }: AttemptRow, state: WorkflowStepState): boolean {
    const { workflows, clients, transactions } = this.#options;
    const executionId = jobIds[0] ?? "";
    const step = workflows.record(executionId, state);
    if (step === undefined) return false;
    const { index } = state;
    transactions.afterCommit(() => clients.broadcast({ type: "workflow-step", executionId, index, step }));
    return true;
  }
}

/** Returns the job that the attempt answers: the last message of a collected batch. */
function lastJob({ jobIds }: AttemptRow): string {
  return jobIds.at(-1) ?? "";
}
