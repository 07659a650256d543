/**
 * The model of a session: its states and what each of them implies, the accepted messages, and for every message the causes that
 * allow an outcome. It does not predict when something happens; it states what must always hold.
 */
import type { QueueMode } from "@valet/shared/spans";
import type { SessionRecord } from "../../src/durable-objects/core/session-state.ts";

type State = SessionRecord["state"];

/** The legal transitions of each state. */
const NEXT: Readonly<Record<State, readonly State[]>> = {
  created: ["starting", "terminating"],
  starting: ["running", "recovering", "error", "terminating"],
  running: ["hibernating", "recovering", "terminating"],
  hibernating: ["running", "hibernated", "terminating"],
  hibernated: ["restoring", "terminating"],
  restoring: ["running", "recovering", "error", "terminating"],
  recovering: ["starting", "restoring", "error", "terminating"],
  terminating: ["terminated"],
  terminated: [],
  error: ["starting", "restoring", "terminating"],
};

/** The current operation of each state; other states have none. */
const OPERATIONS: { readonly [S in State]?: string } = {
  starting: "spawn",
  restoring: "restore",
  hibernating: "hibernate",
  terminating: "terminate",
};

/** The outcome of a message for each error type. */
const OUTCOMES: Readonly<Record<string, string>> = {
  user_abort: "aborted",
  withdrawn: "aborted",
  queue_cleared: "aborted",
  session_terminated: "aborted",
  steered: "superseded",
};

const MAX_DISPATCHES = 4;

export interface MessageSeen {
  readonly id: string;
  readonly status: "queued" | "dispatched" | "accepted" | "done";
  readonly outcome: string | null;
  readonly errorType: string | null;
  readonly attempts: number;
}

interface ModelMessage {
  readonly id: string;
  readonly channel: string;
  readonly mode: QueueMode;
  status: MessageSeen["status"];
  end: string | undefined;
  dispatches: number;
  /** The error types with which it may end now. */
  readonly causes: Set<string>;
}

export class Wrong extends Error {
  override readonly name = "Wrong";
}

export function check(holds: boolean, rule: string): asserts holds {
  if (!holds) throw new Wrong(rule);
}

export class Model {
  state: State = "created";
  generation = 0;
  readonly messages: ModelMessage[] = [];
  readonly operations = new Map<string, string>();
  readonly #attempts = new Set<string>();

  get hasEnded(): boolean {
    return this.state === "terminating" || this.state === "terminated";
  }

  get queued(): number {
    return this.messages.filter(({ status }) => status === "queued").length;
  }

  get isBusy(): boolean {
    return this.messages.some(({ status }) => status === "dispatched" || status === "accepted");
  }

  accepts(id: string, channel: string, mode: QueueMode): void {
    const isNew = !this.messages.some((message) => message.id === id);
    check(isNew, "a message has an id of its own");
    if (mode === "steer")
      this.gives("steered", (message) => message.channel === channel && message.status !== "queued");
    this.messages.push({ id, channel, mode, status: "queued", end: undefined, dispatches: 0, causes: new Set() });
  }

  /** Adds a cause that may end messages. */
  gives(cause: string, whose: (message: ModelMessage) => boolean = () => true): void {
    for (const message of this.messages) if (message.end === undefined && whose(message)) message.causes.add(cause);
  }

  /** Records a dispatch. @param waiting the ids of messages that stay in the queue */
  dispatches(attemptId: string, ids: readonly string[], waiting: readonly string[]): void {
    check(!this.#attempts.has(attemptId), "an attempt is sent once");
    this.#attempts.add(attemptId);
    check(this.state === "running", `nothing is dispatched while ${this.state}`);
    const messages = ids.map((id) => this.#message(id));
    for (const message of messages) {
      message.dispatches++;
      check(message.end === undefined, "what is done is not dispatched");
      check(message.dispatches <= MAX_DISPATCHES, "a message is not tried for ever");
    }
    const [head] = messages;
    check(head !== undefined, "a dispatch has a message");
    check(
      messages.length === 1 || messages.every(({ mode }) => mode === "collect"),
      "only a batch has several messages",
    );
    const behind = waiting.map((id) => this.#message(id)).filter(({ channel }) => channel === head.channel);
    const last = Math.max(...messages.map((message) => this.#place(message)));
    check(
      messages.every(({ channel }) => channel === head.channel) &&
        behind.every((message) => this.#place(message) > last),
      "each channel is in order, those that steer first",
    );
  }

  /** Checks the records that an event has written, in order; the last one is the current one. */
  transitions(records: readonly SessionRecord[]): void {
    for (const { state, generation, operation, errorType } of records) {
      const isLegal = state === this.state || NEXT[this.state].includes(state);
      check(isLegal, `no state follows another that may not: ${this.state} → ${state}`);
      check(generation >= this.generation, "generations count up");
      this.state = state;
      this.generation = generation;
      if (operation !== undefined)
        this.operations.set(
          operation.context.spanId,
          operation.kind === "terminate" ? "valet.session.terminate" : `valet.sandbox.${operation.kind}`,
        );
      // Messages that wait for a sandbox end with the reason why there is none.
      if (state === "error") this.gives(errorType ?? "no cause");
      if (state === "terminating") this.gives("session_terminated");
    }
    const record = records.at(-1);
    if (record !== undefined) checkRecord(record);
  }

  /** Checks the messages as they are now. */
  sees(seen: readonly MessageSeen[]): void {
    check(
      seen.length === this.messages.length && seen.every(({ id }, index) => id === this.messages[index]?.id),
      "no message is lost, and none comes from nowhere",
    );
    for (const [index, { id, status, outcome, errorType, attempts }] of seen.entries()) {
      const message = this.messages[index] as ModelMessage;
      message.status = status;
      const end = outcome === null ? undefined : `${outcome} ${errorType ?? ""}`;
      check((status === "done") === (end !== undefined), `${id}: what is done has an outcome, and nothing else`);
      check(message.end === undefined || message.end === end, `${id}: an outcome is final: ${message.end} → ${end}`);
      if (end !== undefined && message.end === undefined) this.#ends(message, outcome as string, errorType, attempts);
      message.end = end;
    }
  }

  #ends({ id, causes }: ModelMessage, outcome: string, errorType: string | null, attempts: number): void {
    const cause = errorType ?? outcome;
    if (causes.has(cause)) return this.#endsAs(id, outcome, errorType);
    if (cause === "runner_lost") check(attempts >= 2, `${id}: what is lost is tried once more`);
    else if (cause === "not_accepted" || cause === "send_failed") {
      check(attempts >= 3, `${id}: what is not taken is tried again`);
    } else check(false, `${id}: nothing has given cause for ${cause}`);
    this.#endsAs(id, outcome, errorType);
  }

  #endsAs(id: string, outcome: string, errorType: string | null): void {
    const expected = errorType === null ? "ok" : (OUTCOMES[errorType] ?? "error");
    check(outcome === expected, `${id}: ${errorType} is ${expected}, not ${outcome}`);
  }

  /** Returns a message's place in its channel's queue. */
  #place({ id, mode }: ModelMessage): number {
    const index = this.messages.findIndex((message) => message.id === id);
    return mode === "steer" ? index : index + this.messages.length;
  }

  #message(id: string): ModelMessage {
    const found = this.messages.find((message) => message.id === id);
    if (found === undefined) throw new Wrong(`${id} was never sent`);
    return found;
  }
}

function checkRecord(record: SessionRecord): void {
  const { state, operation, sandbox, snapshot, tokenHash, link } = record;
  const isInLine = operation?.step === "waiting";
  check(operation?.kind === OPERATIONS[state], `${state} has the operation ${operation?.kind}`);
  const hasRunner = state === "starting" || state === "restoring" || state === "running" || state === "hibernating";
  const mayHaveRunner = hasRunner || state === "terminating";
  if (state !== "hibernating" && hasRunner && !isInLine) check(tokenHash !== undefined, `${state} expects a runner`);
  if (!mayHaveRunner) check(tokenHash === undefined && link.state === "gone", `${state} expects no runner`);
  if (!mayHaveRunner) check(sandbox === undefined, `${state} has no sandbox`);
  if (state === "running") check(sandbox !== undefined, "running has a sandbox");
  if (state === "hibernated") check(snapshot !== undefined, "hibernated has a snapshot");
  if (state === "terminated") check(snapshot === undefined, "terminated has no snapshot");
}
