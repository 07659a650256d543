/** What is known of a session's conversation, and how answers of the API and live events change it. Pure. */
import { applyPartDelta } from "@valet/shared/protocol/part-delta-codec";
import { withoutUndefined } from "@valet/shared/without-undefined";
import type { Schemas } from "../api/client.ts";
import type { SessionEvent } from "../api/session-events.ts";
import { laterMessage, withPart } from "./answer-parts.ts";

export type Message = Schemas["MessageView"];
export type Workflow = Schemas["WorkflowView"];
export type Turn = Schemas["TurnRecord"];
export type Part = Schemas["MessagePart"];
type Asked =
  | { readonly kind: "permission"; readonly request: Schemas["PermissionView"] }
  | { readonly kind: "question"; readonly request: Schemas["QuestionView"] };

/** A request of the agent that somebody answered while the page was open, or that ended with its turn. */
export interface ClosedRequest {
  readonly id: string;
  readonly messageId: string;
  /** What was asked. */
  readonly asked: string;
  /** The answer as text; `null` if somebody declined; absent if the turn ended first. */
  readonly answer?: string | null;
  readonly by?: string;
}

export interface Conversation {
  readonly messages: ReadonlyMap<string, Message>;
  readonly workflows: ReadonlyMap<string, Workflow>;
  /** The answer that the running step of a workflow has so far, by the workflow's id. */
  readonly stepParts: ReadonlyMap<string, readonly Part[]>;
  /** The ids of all messages and workflows, the oldest first. */
  readonly order: readonly string[];
  /** The turns of a message or a workflow, the oldest attempt first. */
  readonly turns: ReadonlyMap<string, readonly Turn[]>;
  /** The messages and workflows that were unfinished while the page showed them: they do not fold under a reader. */
  readonly watched: ReadonlySet<string>;
  readonly asked: ReadonlyMap<string, Asked>;
  readonly closed: readonly ClosedRequest[];
}

export const EMPTY_CONVERSATION: Conversation = {
  messages: new Map(),
  workflows: new Map(),
  stepParts: new Map(),
  order: [],
  turns: new Map(),
  watched: new Set(),
  asked: new Map(),
  closed: [],
};

/** A conversation while several events change it. */
class Draft {
  readonly messages: Map<string, Message>;
  readonly workflows: Map<string, Workflow>;
  readonly stepParts: Map<string, readonly Part[]>;
  readonly turns: Map<string, readonly Turn[]>;
  readonly watched: Set<string>;
  readonly asked: Map<string, Asked>;
  readonly closed: ClosedRequest[];
  readonly #before: Conversation;
  #hasMore = false;

  constructor(before: Conversation) {
    this.#before = before;
    this.messages = new Map(before.messages);
    this.workflows = new Map(before.workflows);
    this.stepParts = new Map(before.stepParts);
    this.turns = new Map(before.turns);
    this.watched = new Set(before.watched);
    this.asked = new Map(before.asked);
    this.closed = [...before.closed];
  }

  /** @param isEvent it is the newest state; what was read may be older than an event that came meanwhile */
  message(next: Message, isEvent: boolean): void {
    const known = this.messages.get(next.id);
    if (known === undefined) this.#hasMore = true;
    this.messages.set(next.id, known === undefined ? next : laterMessage(known, next, isEvent));
    if (next.status !== "done") this.watched.add(next.id);
  }

  workflow(next: Workflow): void {
    const known = this.workflows.get(next.id);
    if (known === undefined) this.#hasMore = true;
    // Lists and events leave out the output of steps.
    const steps = next.steps.map((step, index) => ({ ...known?.steps[index], ...step }));
    this.workflows.set(next.id, { ...next, steps });
    if (next.status !== "done") this.watched.add(next.id);
    else this.stepParts.delete(next.id);
  }

  turn(turn: Turn): void {
    for (const id of turn.message_ids) {
      const others = (this.turns.get(id) ?? []).filter(({ attempt_id }) => attempt_id !== turn.attempt_id);
      this.turns.set(
        id,
        [...others, turn].sort((a, b) => a.ended_at.localeCompare(b.ended_at)),
      );
    }
  }

  /** @returns whether the part could be placed; otherwise something was missed */
  parts(ownerId: string, change: (parts: readonly Part[]) => readonly Part[] | undefined): boolean {
    const message = this.messages.get(ownerId);
    if (message !== undefined) {
      if (message.status === "done") return true;
      const parts = change(message.parts);
      if (parts !== undefined) this.messages.set(ownerId, { ...message, parts: [...parts] });
      return parts !== undefined;
    }
    const parts = this.workflows.has(ownerId) ? change(this.stepParts.get(ownerId) ?? []) : undefined;
    if (parts !== undefined) this.stepParts.set(ownerId, parts);
    return parts !== undefined || this.workflows.has(ownerId);
  }

  finish(): Conversation {
    const order = this.#hasMore ? inOrder(this.messages, this.workflows) : this.#before.order;
    const { messages, workflows, stepParts, turns, watched, asked, closed } = this;
    return { messages, workflows, stepParts, order, turns, watched, asked, closed };
  }
}

/** Adds what the API answered. */
export function withAnswers(
  before: Conversation,
  answers: {
    readonly messages?: readonly Message[];
    readonly workflows?: readonly Workflow[];
    readonly turns?: readonly Turn[];
  },
): Conversation {
  const draft = new Draft(before);
  for (const message of answers.messages ?? []) draft.message(message, false);
  for (const workflow of answers.workflows ?? []) draft.workflow(workflow);
  for (const turn of answers.turns ?? []) draft.turn(turn);
  return draft.finish();
}

/** @returns the conversation after events, and the ids of the messages of which something was missed */
export function withEvents(
  before: Conversation,
  events: readonly SessionEvent[],
): { readonly conversation: Conversation; readonly missed: readonly string[] } {
  const draft = new Draft(before);
  const missed = new Set<string>();
  for (const event of events) {
    if (!applyEvent(draft, event) && "messageId" in event) missed.add(event.messageId);
  }
  return { conversation: draft.finish(), missed: [...missed] };
}

function applyEvent(draft: Draft, event: SessionEvent): boolean {
  switch (event.type) {
    case "message":
      draft.message(event.message, true);
      return true;
    case "workflow":
      draft.workflow(event.workflow);
      return true;
    case "workflow-step": {
      const workflow = draft.workflows.get(event.executionId);
      if (workflow === undefined) return true;
      if (event.step.status === "running") draft.stepParts.delete(event.executionId);
      const steps = workflow.steps.map((step, index) => (index === event.index ? { ...step, ...event.step } : step));
      draft.workflow({ ...workflow, steps });
      return true;
    }
    case "part":
      return draft.parts(event.messageId, (parts) => withPart(parts, event.part));
    case "part-delta":
      return draft.parts(event.messageId, (parts) => {
        const known = parts.find(({ id }) => id === event.delta.partId);
        const part = applyPartDelta(known, event.delta);
        return part === undefined ? undefined : withPart(parts, withoutUndefined(part));
      });
    case "turn":
      draft.turn(event.turn);
      return true;
    case "session":
      for (const request of event.session.permissions) draft.asked.set(request.id, { kind: "permission", request });
      for (const request of event.session.questions) draft.asked.set(request.id, { kind: "question", request });
      return true;
    case "permission-asked":
      draft.asked.set(event.permission.id, { kind: "permission", request: event.permission });
      return true;
    case "question-asked":
      draft.asked.set(event.question.id, { kind: "question", request: event.question });
      return true;
    case "permission-closed":
      close(draft, event.permissionId, event.reply === undefined ? {} : { answer: REPLY_WORDS[event.reply] }, event);
      return true;
    case "question-closed":
      close(
        draft,
        event.questionId,
        event.answers === undefined ? {} : { answer: event.answers?.map((one) => one.join(", ")).join("; ") ?? null },
        event,
      );
      return true;
    default:
      return true;
  }
}

const REPLY_WORDS = { once: "allowed once", always: "always allowed here", reject: "denied" } as const;

function close(
  draft: Draft,
  id: string,
  answer: Pick<ClosedRequest, "answer">,
  { answeredBy }: { answeredBy?: string },
): void {
  const asked = draft.asked.get(id);
  if (asked === undefined || draft.closed.some((one) => one.id === id)) return;
  const text =
    asked.kind === "permission"
      ? `${asked.request.permission}: ${asked.request.detail}`
      : asked.request.questions.map(({ question }) => question).join(" ");
  const by = answeredBy === undefined ? {} : { by: answeredBy };
  draft.closed.push({ id, messageId: asked.request.messageId, asked: text, ...answer, ...by });
}

/** The place of each id by the time of its acceptance; of the same time, the one that became known first. */
function inOrder(messages: ReadonlyMap<string, Message>, workflows: ReadonlyMap<string, Workflow>): string[] {
  const jobs = [...messages.values(), ...workflows.values()];
  return jobs
    .sort((a, b) => (a.acceptedAt < b.acceptedAt ? -1 : a.acceptedAt > b.acceptedAt ? 1 : 0))
    .map(({ id }) => id);
}
