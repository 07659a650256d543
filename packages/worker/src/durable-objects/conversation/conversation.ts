/** What was said: messages with the agent's answers, and which of the agent's own sessions each channel goes on in. */

import type { MessagePart } from "@valet/shared/protocol/message-part";
import type { MessageView } from "@valet/shared/protocol/session-view";
import { withoutUndefined } from "@valet/shared/without-undefined";
import type { JobRow, JobStore } from "../queue/job-store.ts";
import { type CapacityLine, viewJob } from "../queue/job-view.ts";
import type { Workflows } from "../workflow/workflows.ts";

/** What a new session of the agent is told of what went before, at the most. */
const DIGEST_MESSAGES = 20;
const DIGEST_LENGTH = 8000;
/** The parts of one answer that are kept while it is written; the last frame of the turn brings them whole. */
const MAX_LIVE_LENGTH = 512 * 1024;

/** What an attempt in a channel begins with. */
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
  /** Answers that are being written. Each is stored whenever it comes to its next part, so an eviction costs one part. */
  readonly #live = new Map<string, LiveAnswer>();

  constructor(sql: SqlStorage, jobs: JobStore, workflows: Workflows, line: CapacityLine) {
    this.#sql = sql;
    this.#jobs = jobs;
    this.#workflows = workflows;
    this.#line = line;
  }

  /** A part of an answer as it is by now. */
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

  /** The whole answer. */
  finish(attemptId: string, parts: readonly MessagePart[]): void {
    this.#live.delete(attemptId);
    this.#store(attemptId, parts);
  }

  /** The turn ended without an answer: what there was of it stays. */
  breakOff(attemptId: string): void {
    const live = this.#live.get(attemptId);
    if (live !== undefined) this.finish(attemptId, [...live.parts.values()]);
  }

  view(row: JobRow): MessageView {
    const { content, attachments, author, threadId, replyChannel, model } = this.#jobs.message(row.id);
    return {
      ...viewJob(row, this.#line),
      ...{ queueMode: row.mode, source: row.source, content },
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
   * Returns what an attempt in a channel begins with: the agent's own session, and what was said before, where the sandbox is
   * newer than that session and may not have it after all.
   */
  resume(channel: string, generation: number): ChannelContext {
    const session = this.agentSession(channel);
    return {
      opencodeSessionId: session?.id,
      continuationContext: session?.generation === generation ? undefined : this.digest(channel),
    };
  }

  /** The session of the agent that a channel goes on in, and the generation in which it last did. */
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

  /** A sandbox begins with nothing: the agent's sessions were in the one before. */
  forgetAgentSessions(): void {
    this.#sql.exec("DELETE FROM channels");
  }

  /** What was said in a channel lately, for an agent that does not know. `undefined` where nothing was. */
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

  /** What was said to the agent, and what it answered: in a workflow once for each prompt that it came to. */
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
