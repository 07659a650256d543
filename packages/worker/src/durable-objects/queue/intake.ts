/** Accepts or refuses messages and workflows, and puts them into the queue. Callers run it within a transaction. */
import { messageBytes } from "@valet/shared/protocol/message-limits";
import { firstModel } from "@valet/shared/protocol/model-access";
import type { AcceptedMessage, AcceptedWorkflow, SendMessage, StartWorkflow } from "@valet/shared/protocol/session-api";
import type { SpanContext } from "@valet/shared/tracing";
import { withoutUndefined } from "@valet/shared/without-undefined";
import type { Intervals } from "../../config.ts";
import type { Asker } from "../core/asker.ts";
import { newId } from "../core/ids.ts";
import { BATCH_LIMITS, MAIN_CHANNEL } from "../core/limits.ts";
import { ok, type Result, refuse } from "../core/result.ts";
import type { SessionState } from "../core/session-state.ts";
import { isTraced } from "../core/session-tracer.ts";
import type { JobQueue } from "./job-queue.ts";
import type { JobKind, JobRow, MessageBody, WorkflowBody } from "./job-store.ts";
import { refuseModels } from "./known-models.ts";
import type { QueueEvent } from "./ports.ts";
import { MODES } from "./queue-rules.ts";
import type { MessageOrigin } from "./queue-spans.ts";

export interface IntakeOptions {
  readonly state: SessionState;
  readonly queue: JobQueue;
  readonly record: (event: QueueEvent) => void;
  readonly intervals: Pick<Intervals, "collectDebounceMs">;
  /** The deployment's model, as `provider/model`. */
  readonly defaultModel: string;
  readonly now: () => number;
}

/** Who sent a message. */
export interface MessageSender {
  /** The request that brought it. */
  readonly parent?: SpanContext | undefined;
  /** For whom; the session's user by default. */
  readonly userId?: string | undefined;
  /** Whether the session was created with it. */
  readonly initial?: boolean;
  /** The other session that sent it; absent for a user's message. */
  readonly origin?: MessageOrigin | undefined;
}

/** More jobs than a person would queue. */
const MAX_QUEUED = 500;

const TOO_LARGE = {
  message: refuse("message-too-large", `Content and attachments may have ${BATCH_LIMITS.bytes} bytes together.`),
  workflow: refuse("workflow-too-large", `All steps together may have ${BATCH_LIMITS.bytes} bytes.`),
};
const NOT_FOUND = {
  message: refuse("message-not-found", "The session has no message of this id."),
  workflow: refuse("workflow-not-found", "The session has no execution of this id."),
};
const ID_TAKEN = refuse(
  "id-taken",
  "The session has a message or a workflow of this id with other content. Send it with an id of its own.",
);

export class Intake {
  readonly #options: IntakeOptions;

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  /** Queues a message, or refuses it. A known id returns the existing message, if that is what was sent. */
  takeMessage(input: SendMessage, sender: MessageSender): Result<AcceptedMessage> {
    const { state, queue, record, intervals, defaultModel, now } = this.#options;
    const { queueMode, channel = MAIN_CHANNEL, id = newId("msg"), user: _, ...rest } = withoutUndefined(input);
    const body: MessageBody = { ...rest, attachments: rest.attachments ?? [] };
    const mode = queueMode ?? state.record.queueMode;
    const { parent, userId, initial = false, origin } = sender;
    const known = queue.jobs.job(id);
    if (known !== undefined) {
      // Other sessions choose an id for each message of theirs and never use it twice.
      const isSame = origin !== undefined || (known.mode === mode && this.#isSame(known, "message", channel, body));
      return isSame ? ok(acceptedMessage(known)) : ID_TAKEN;
    }
    const sizeBytes = messageBytes(body.content, body.attachments);
    const refusal = this.#refusal("message", sizeBytes);
    if (refusal !== undefined) return refusal;
    const unknown = refuseModels(input, state.record, defaultModel);
    if (unknown !== undefined) return refuse("model-not-known", unknown);
    const notBeforeMs = MODES[mode].isCollected ? now() + intervals.collectDebounceMs : 0;
    const source = origin === undefined ? "user" : "system";
    const { row } = queue.accept({
      id,
      channel,
      mode,
      source,
      initial,
      sizeBytes,
      notBeforeMs,
      body,
      parent,
      origin,
      userId,
      model: this.#firstModel(body),
    });
    const isForParent = initial || origin?.parentSessionId !== undefined;
    if (isForParent && state.record.parentSessionId !== undefined) record({ type: "parent-waits", messageId: id });
    if (MODES[mode].interrupts) record({ type: "steered", channel, asker: { userId, context: row.context } });
    return ok(acceptedMessage(row));
  }

  /** Queues a workflow, or refuses it. A known id returns the existing execution, if that is what was sent. */
  takeWorkflow(input: StartWorkflow, { userId, context: parent }: Asker): Result<AcceptedWorkflow> {
    const { name, steps, onFailure = "stop", channel = MAIN_CHANNEL, id = newId("wfl") } = withoutUndefined(input);
    const { queue } = this.#options;
    const body: WorkflowBody = { name, steps, onFailure };
    const known = queue.jobs.job(id);
    if (known !== undefined) {
      return this.#isSame(known, "workflow", channel, body) ? ok(acceptedWorkflow(known)) : ID_TAKEN;
    }
    const sizeBytes = messageBytes(name, steps);
    const refusal = this.#refusal("workflow", sizeBytes);
    if (refusal !== undefined) return refusal;
    const model = this.#firstModel({});
    return ok(acceptedWorkflow(queue.acceptWorkflow({ id, channel, sizeBytes, body, parent, userId, model }).row));
  }

  /** Withdraws a queued job. Idempotent. */
  withdraw(kind: JobKind, id: string, asker?: Asker): Result<JobRow> {
    const { queue } = this.#options;
    const row = queue.jobs.job(id);
    if (row?.kind !== kind) return NOT_FOUND[kind];
    if (row.errorType !== "withdrawn" && !queue.endQueued(id, "aborted", "withdrawn", asker)) {
      return refuse(`${kind}-not-queued`, `The ${kind} is ${row.status}: abort the session's work instead.`);
    }
    return ok(queue.jobs.job(id) as JobRow);
  }

  /** Returns the model that the runner tries first. */
  #firstModel({ model, models }: Pick<MessageBody, "model" | "models">): string {
    const { state, defaultModel } = this.#options;
    const { record } = state;
    return firstModel({ model: model ?? record.model, models: models ?? record.models }, defaultModel);
  }

  /** Returns why a session cannot be created with this message; `undefined` if it can. */
  refuseFirst(content: string) {
    return messageBytes(content, []) > BATCH_LIMITS.bytes ? TOO_LARGE.message : undefined;
  }

  /** Returns the job of this kind and id. */
  find(kind: JobKind, id: string): Result<JobRow> {
    const row = this.#options.queue.jobs.job(id);
    return row?.kind === kind ? ok(row) : NOT_FOUND[kind];
  }

  /** Whether a known job is what was sent. Bodies are compared as they are stored: their fields have one order, the schema's. */
  #isSame(known: JobRow, kind: JobKind, channel: string, body: MessageBody | WorkflowBody): boolean {
    const { jobs } = this.#options.queue;
    if (known.kind !== kind || known.channel !== channel) return false;
    const stored = kind === "message" ? jobs.message(known.id) : jobs.workflow(known.id);
    return JSON.stringify(stored) === JSON.stringify(body);
  }

  /** Returns why a job is not accepted; `undefined` if it is. */
  #refusal(kind: JobKind, sizeBytes: number) {
    const { state, queue } = this.#options;
    const { state: session } = state.record;
    if (sizeBytes > BATCH_LIMITS.bytes) return TOO_LARGE[kind];
    if (session === "terminating" || session === "terminated") {
      return refuse("session-ended", "A session that has ended takes no messages and no workflows.");
    }
    if (queue.jobs.queuedCount() >= MAX_QUEUED) {
      return refuse("queue-full", `At most ${MAX_QUEUED} messages and workflows wait in a session.`);
    }
    return undefined;
  }
}

function acceptedMessage({ id, status, context }: JobRow): AcceptedMessage {
  return { messageId: id, status, ...(isTraced(context) && { traceId: context.traceId }) };
}

function acceptedWorkflow({ id, status, context }: JobRow): AcceptedWorkflow {
  return { executionId: id, status, ...(isTraced(context) && { traceId: context.traceId }) };
}
