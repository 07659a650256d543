/** Answers the agent's requests to a person: sends the answer to the runner, and closes the request. */

import type { QuestionAnswers } from "@valet/shared/protocol/agent-question";
import type { ClientEvent } from "@valet/shared/protocol/client-socket";
import type { ToRunnerOf } from "@valet/shared/protocol/runner-link";
import type { PermissionReply, TurnRecord } from "@valet/shared/protocol/session-view";
import { ok, type Result, refuse } from "../core/result.ts";
import type { SessionState } from "../core/session-state.ts";
import type { Transactions } from "../core/transactions.ts";
import type { ClientSockets } from "../link/client-sockets.ts";
import type { AgentRequests } from "./agent-requests.ts";

type ReplyFrame = ToRunnerOf<"permission-reply" | "question-reply">;

export interface RepliesOptions {
  readonly requests: AgentRequests;
  readonly link: { send(frame: ReplyFrame): boolean };
  readonly state: SessionState;
  readonly clients: Pick<ClientSockets, "broadcast">;
  readonly transactions: Transactions;
  /** Returns how the turn of an attempt ended; `undefined` if it has not. */
  readonly endOf: (attemptId: string) => Pick<TurnRecord, "outcome" | "error_type" | "outcome_reason"> | undefined;
  /** Called when an attempt has the answer that it waited for. */
  readonly onAnswered: (attemptId: string) => void;
}

export class Replies {
  readonly #options: RepliesOptions;

  constructor(options: RepliesOptions) {
    this.#options = options;
  }

  permission(permissionId: string, reply: PermissionReply, answeredBy: string): Result<void> {
    const frame = { type: "permission-reply", permissionId, reply } as const;
    return this.#reply("permission", permissionId, frame, {
      type: "permission-closed",
      permissionId,
      reply,
      answeredBy,
    });
  }

  /** @param answers `null` declines to answer: the agent's turn ends, as after a rejected permission */
  question(questionId: string, answers: QuestionAnswers | null, answeredBy: string): Result<void> {
    const frame = { type: "question-reply", questionId, answers } as const;
    return this.#reply("question", questionId, frame, { type: "question-closed", questionId, answers, answeredBy });
  }

  /**
   * Closes the request, then sends the answer. If it were sent first and the commit failed, the agent would have the answer, and the request
   * would still be open. If the object dies in between, the link breaks, and the runner repeats the request on its next link.
   */
  #reply(
    kind: "permission" | "question",
    id: string,
    frame: ReplyFrame,
    closed: ClientEvent & { readonly answeredBy: string },
  ): Result<void> {
    const { requests, link, state, clients, transactions, onAnswered } = this.#options;
    if (!requests.isOpen(kind, id)) return this.#refuseClosed(id);
    if (state.record.link.state !== "connected") return this.#refuseDisconnected();
    const request = transactions.run(() => {
      const closing = requests.close(id, closed.answeredBy);
      if (closing !== undefined) onAnswered(closing.attempt_id);
      return closing;
    });
    if (!link.send(frame)) {
      if (request !== undefined) transactions.run(() => requests.reopen(id, request));
      return this.#refuseDisconnected();
    }
    clients.broadcast(closed);
    return ok(undefined);
  }

  #refuseDisconnected(): Result<void> {
    return refuse(
      "runner-disconnected",
      "The runner is not connected, so the answer cannot reach the agent. Try again in a moment.",
    );
  }

  /** Says why the agent does not wait for an answer. */
  #refuseClosed(id: string): Result<void> {
    const { requests, endOf } = this.#options;
    const closed = requests.closed(id);
    if (closed === undefined) return refuse("request-not-found", "The agent has not asked anything with this id.");
    if (closed.isAnswered)
      return refuse("request-closed", "It was answered before, and this answer was not delivered.");
    const { outcome = "lost", error_type, outcome_reason } = endOf(closed.attemptId) ?? {};
    const reason = error_type ?? outcome_reason ?? outcome;
    return refuse(
      "request-closed",
      `The turn that asked has ended (\`${reason}\`), so this answer was not delivered. Send a message to go on.`,
    );
  }
}
