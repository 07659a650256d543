/** The conversation: messages with the agent's answers, and the agent's own session in which each channel continues. */

import type { MessagePart } from "@valet/shared/protocol/message-part";
import type { MessageView } from "@valet/shared/protocol/session-view";
import { withoutUndefined } from "@valet/shared/without-undefined";
import type { Transactions } from "../core/transactions.ts";
import type { JobRow, JobStore } from "../queue/job-store.ts";
import { type CapacityLine, viewJob } from "../queue/job-view.ts";
import type { Workflows } from "../workflow/workflows.ts";

/** How much of the conversation before a new session of the agent is sent to it, at most; the length in UTF-16 code units. */
const DIGEST_MESSAGES = 20;
const DIGEST_LENGTH = 8000;
/** The size up to which parts of an unfinished answer are kept, in characters of JSON; the turn's last frame has all of them. */
const MAX_LIVE_LENGTH = 512 * 1024;

/** The context with which an attempt in a channel begins. */
export interface ChannelContext {
  readonly opencodeSessionId: string | undefined;
  readonly continuationContext: string | undefined;
}

interface LiveAnswer {
  readonly parts: Map<string, MessagePart>;
  length: number;
  last: string;
}

export class Conversation {
  readonly #sql: SqlStorage;
  readonly #jobs: JobStore;
  readonly #workflows: Workflows;
  readonly #line: CapacityLine;
  readonly #transactions: Pick<Transactions, "onRollback">;
  /** Unfinished answers. Each is stored when its next part begins, so an eviction loses one part. */
  readonly #live = new Map<string, LiveAnswer>();

  constructor(
    sql: SqlStorage,
    jobs: JobStore,
    workflows: Workflows,
    line: CapacityLine,
    transactions: Pick<Transactions, "onRollback">,
  ) {
    this.#sql = sql;
    this.#jobs = jobs;
    this.#workflows = workflows;
    this.#line = line;
    this.#transactions = transactions;
  }

  /** Adds a part of an unfinished answer, or replaces it. */
  addPart(attemptId: string, part: MessagePart): void {
    const live = this.#live.get(attemptId) ?? this.#resumeAnswer(attemptId);
    const isNext = live.last !== part.id;
    if (isNext && live.last !== "") this.#store(attemptId, [...live.parts.values()]);
    const length = live.length + JSON.stringify(part).length - (JSON.stringify(live.parts.get(part.id))?.length ?? 0);
    if (length > MAX_LIVE_LENGTH) return;
    live.parts.set(part.id, part);
    live.length = length;
    live.last = part.id;
  }

  /** Stores the whole answer. */
  finish(attemptId: string, parts: readonly MessagePart[]): void {
    const live = this.#live.get(attemptId);
    this.#live.delete(attemptId);
    // Of an answer that was not stored after all, the parts so far are nowhere else.
    if (live !== undefined) this.#transactions.onRollback(() => this.#live.set(attemptId, live));
    this.#store(attemptId, parts);
  }

  /** Stores the unfinished answer of a turn that ended without its last frame. */
  breakOff(attemptId: string): void {
    const live = this.#live.get(attemptId);
    if (live !== undefined) this.finish(attemptId, [...live.parts.values()]);
  }

  view(row: JobRow): MessageView {
    const { content, attachments, author, threadId, replyChannel, model } = this.#jobs.message(row.id);
    return {
      ...viewJob(row, this.#line),
      queueMode: row.mode,
      source: row.source,
      content,
      attachments: attachments.map(({ filename, mediaType }) => ({ filename, mediaType })),
      ...withoutUndefined({ author, threadId, replyChannel, model }),
      parts: this.#answerTo(row),
    };
  }

  /** Returns the text of the answer to a message, without its other parts. */
  textTo(row: JobRow): string {
    return this.#answerTo(row)
      .flatMap((part) => (part.type === "text" ? [part.text] : []))
      .join("\n");
  }

  /**
   * Returns the context with which an attempt in a channel begins: the agent's own session, and a digest of the conversation if the
   * sandbox is newer than that session and may lack it.
   */
  contextOf(channel: string, generation: number): ChannelContext {
    const session = this.agentSession(channel);
    return {
      opencodeSessionId: session?.id,
      continuationContext: session?.generation === generation ? undefined : this.digest(channel),
    };
  }

  /** Returns the agent's session in which a channel continues, and the generation that used it last. */
  agentSession(channel: string): { readonly id: string; readonly generation: number } | undefined {
    const [row] = this.#sql
      .exec("SELECT opencode_session, generation FROM channels WHERE channel = ?", channel)
      .toArray();
    return row && { id: row.opencode_session as string, generation: row.generation as number };
  }

  setAgentSession(channel: string, id: string, generation: number): void {
    const known = this.agentSession(channel);
    if (known?.id === id && known.generation === generation) return;
    this.#sql.exec("INSERT OR REPLACE INTO channels VALUES (?, ?, ?)", channel, id, generation);
  }

  /** Forgets the agent's sessions: they were lost with the sandbox, and the new one starts empty. */
  forgetAgentSessions(): void {
    this.#sql.exec("DELETE FROM channels");
  }

  /** Returns the latest part of a channel's conversation as text, for an agent without it; `undefined` if there is none. */
  digest(channel: string): string | undefined {
    let text = "";
    const rows = this.#jobs.latestJobs(channel, DIGEST_MESSAGES);
    for (const row of rows) {
      const said = this.#exchanges(row)
        .map(([content, answer]) => `User: ${content}${answer && `\nAssistant: ${answer}`}\n`)
        .join("");
      if (said.length + text.length > DIGEST_LENGTH) break;
      text = said + text;
    }
    return text === "" ? undefined : text;
  }

  /** Returns each prompt to the agent with its answer; a workflow has one for each prompt step that began. */
  #exchanges(row: JobRow): (readonly [content: string, answer: string])[] {
    if (row.kind === "workflow") return this.#workflows.exchanges(row.id);
    return [[this.#jobs.message(row.id).content, this.textTo(row)]];
  }

  #answerTo({ id, attemptId }: JobRow): MessagePart[] {
    if (attemptId === null || this.#jobs.attempt(attemptId)?.jobIds.at(-1) !== id) return [];
    const live = this.#live.get(attemptId);
    return live === undefined ? this.#stored(attemptId) : [...live.parts.values()];
  }

  #resumeAnswer(attemptId: string): LiveAnswer {
    const stored = this.#stored(attemptId);
    const live = { parts: new Map(stored.map((part) => [part.id, part])), length: 0, last: "" };
    this.#live.set(attemptId, live);
    return live;
  }

  #stored(attemptId: string): MessagePart[] {
    const [row] = this.#sql.exec("SELECT parts FROM answers WHERE attempt_id = ?", attemptId).toArray();
    return row === undefined ? [] : (JSON.parse(row.parts as string) as MessagePart[]);
  }

  #store(attemptId: string, parts: readonly MessagePart[]): void {
    this.#sql.exec("INSERT OR REPLACE INTO answers VALUES (?, ?)", attemptId, JSON.stringify(parts));
  }
}
