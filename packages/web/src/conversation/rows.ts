/** The rows of the conversation: what a reader sees of each message, workflow and request, from top to bottom. Pure. */

import type { Schemas } from "../api/client.ts";
import { firstLine } from "../format/first-line.ts";
import type { ClosedRequest, Conversation, Message, Part, Turn, Workflow } from "./conversation.ts";
import { type Gap, type Gaps, NO_GAPS } from "./gaps.ts";
import { type Life, type LifeSummary, lifeSummary, livesOf } from "./lives.ts";
import type { Rest } from "./rests.ts";

export type Row = { readonly id: string; readonly jobId: string } & (
  | {
      readonly kind: "head";
      readonly job: Message | Workflow;
      readonly turns: readonly Turn[];
      readonly isOpen: boolean;
    }
  /** All turns between two hibernations. Its `jobId` is its own key. */
  | ({
      readonly kind: "life";
      readonly at: string;
      readonly title: string;
      readonly isPartial: boolean;
      readonly isOpen: boolean;
    } & LifeSummary)
  /** The sandbox slept. */
  | ({ readonly kind: "rest" } & Rest)
  /** What somebody sent. */
  | { readonly kind: "said"; readonly message: Message }
  | { readonly kind: "attempt"; readonly turn: Turn }
  | { readonly kind: "part"; readonly part: Part; readonly isLive: boolean }
  | {
      readonly kind: "step";
      readonly step: Workflow["steps"][number];
      readonly index: number;
      readonly parts: readonly Part[];
    }
  | { readonly kind: "permission"; readonly request: Schemas["PermissionView"] }
  | { readonly kind: "question"; readonly request: Schemas["QuestionView"] }
  | { readonly kind: "closed"; readonly request: ClosedRequest }
  /** What it does now, or waits for. */
  | { readonly kind: "now"; readonly job: Message | Workflow; readonly isWriting: boolean }
  /** Messages that are not read yet follow the job. */
  | { readonly kind: "gap"; readonly state: Gap["state"] }
  /** How it ended, and the ways to more. */
  | { readonly kind: "end"; readonly job: Message | Workflow; readonly turns: readonly Turn[] }
);

const NO_TURNS: readonly Turn[] = [];
const NO_PARTS: readonly Part[] = [];
const NO_RESTS: readonly Rest[] = [];

/** Returns whether two rows show the same: rows are made anew with each event, and most of them have not changed. */
export function isSameRow(one: Row, other: Row): boolean {
  const fields = Object.entries(one);
  const others: Readonly<Record<string, unknown>> = { ...other };
  return fields.length === Object.keys(others).length && fields.every(([name, value]) => others[name] === value);
}

interface RowChoices {
  /** What a person unfolded (`true`) or folded: messages and workflows by their ids, lives by their keys. */
  readonly folds: ReadonlyMap<string, boolean>;
  /** Only this channel. */
  readonly channel?: string | undefined;
  readonly permissions: readonly Schemas["PermissionView"][];
  readonly questions: readonly Schemas["QuestionView"][];
  readonly gaps?: Gaps;
  /** When the sandbox slept, in order. */
  readonly rests?: readonly Rest[];
  /** The selected message: it is never hidden in a life. */
  readonly selected?: string | undefined;
  /** Messages before the first one are not loaded yet. */
  readonly hasOlder?: boolean;
}

export function isWorkflow(job: Message | Workflow): job is Workflow {
  return "steps" in job;
}

/**
 * Returns the rows. A job that has ended is folded, unless it is the newest, was seen running, or a person unfolded it. What was done
 * before a hibernation is one row, unless something of it is to be seen.
 */
export function conversationRows(conversation: Conversation, choices: RowChoices): Row[] {
  const { messages, workflows, order } = conversation;
  const jobs = order
    .map((id) => messages.get(id) ?? workflows.get(id))
    .filter((job) => job !== undefined)
    .filter(({ channel }) => choices.channel === undefined || channel === choices.channel);
  const waiting = jobs.filter(({ status }) => status === "queued");
  // What waits comes last, whatever was accepted when: another channel may be ahead.
  const shown = [...jobs.filter(({ status }) => status !== "queued"), ...waiting];
  const newest = jobs.findLast(({ status }) => status !== "queued")?.id;
  const gaps = choices.gaps ?? NO_GAPS;
  const rowsOf = (job: Message | Workflow) => [
    ...jobRows(job, job.id === newest, conversation, choices),
    ...gapRows(job.id, gaps),
  ];
  const rows = livesOf(shown, choices.rests ?? NO_RESTS).flatMap((life, index) => {
    const { jobs: own, rest } = life;
    const isPast = rest !== undefined && own.length > 1;
    const isSeen = ({ id, status }: Message | Workflow) =>
      status !== "done" || id === newest || conversation.watched.has(id) || gaps.has(id);
    const isOne = isPast && !own.some(isSeen);
    const isOpen = own.some(({ id }) => id === choices.selected) || choices.folds.get(life.key) === true;
    const hasOlder = index === 0 && choices.hasOlder === true;
    return [
      ...(isOne ? [lifeRow(life, isOpen, hasOlder, conversation)] : []),
      ...(isOne && !isOpen ? [] : own.flatMap(rowsOf)),
      ...(rest === undefined ? [] : [restRow(life.key, rest)]),
    ];
  });
  const isPlaced = (messageId: string) => shown.some(({ id }) => id === messageId);
  const isHidden = choices.channel !== undefined;
  // A request whose message is on a page that is not loaded.
  const strays = isHidden ? [] : requestRows(choices, (messageId) => !isPlaced(messageId));
  return [...rows, ...strays];
}

function lifeRow({ key, jobs }: Life, isOpen: boolean, isPartial: boolean, { turns }: Conversation): Row {
  const [first] = jobs as [Message | Workflow];
  const title = isWorkflow(first) ? first.name : firstLine(first.content);
  const { acceptedAt: at } = first;
  return { id: key, jobId: key, kind: "life", at, title, isPartial, isOpen, ...lifeSummary(jobs, turns) };
}

function restRow(key: string, { startMs, endMs, restoreMs }: Rest): Row {
  return { id: `${key} rest`, jobId: key, kind: "rest", startMs, endMs, restoreMs };
}

function gapRows(id: string, gaps: Gaps): Row[] {
  const gap = gaps.get(id);
  return gap === undefined ? [] : [{ id: `${id} gap`, jobId: id, kind: "gap", state: gap.state }];
}

function jobRows(job: Message | Workflow, isNewest: boolean, conversation: Conversation, choices: RowChoices): Row[] {
  const { id } = job;
  const turns = conversation.turns.get(id) ?? NO_TURNS;
  const isDone = job.status === "done";
  const isOpen = choices.folds.get(id) ?? (!isDone || isNewest || conversation.watched.has(id));
  const head: Row = { id: `${id} head`, jobId: id, kind: "head", job, turns, isOpen };
  if (!isOpen) return [head];
  const live = lastOf(job, conversation);
  // A request says that it waits for a person.
  const asked = requestRows(choices, (messageId) => messageId === id);
  return [
    head,
    ...(isWorkflow(job) ? [] : [{ id: `${id} said`, jobId: id, kind: "said", message: job } as const]),
    ...turns
      .filter(({ outcome }) => outcome === "lost")
      .slice(0, isDone && job.outcome === "lost" ? -1 : undefined)
      .map((turn): Row => ({ id: `${id} ${turn.attempt_id}`, jobId: id, kind: "attempt", turn })),
    ...(isWorkflow(job) ? stepRows(job, conversation) : partRows(job)),
    ...conversation.closed
      .filter(({ messageId }) => messageId === id)
      .map((request): Row => ({ id: `${id} ${request.id} closed`, jobId: id, kind: "closed", request })),
    ...asked,
    ...(isDone
      ? [{ id: `${id} end`, jobId: id, kind: "end", job, turns } as const]
      : asked.length > 0
        ? []
        : [{ id: `${id} now`, jobId: id, kind: "now", job, isWriting: live?.type === "text" } as const]),
  ];
}

function lastOf(job: Message | Workflow, { stepParts }: Conversation): Part | undefined {
  return (isWorkflow(job) ? (stepParts.get(job.id) ?? []) : job.parts).at(-1);
}

function partRows({ id, parts, status }: Message): Row[] {
  return parts
    .filter((part) => part.type === "tool" || part.text.trim() !== "")
    .map((part, index, all): Row => {
      const isLive = status !== "done" && index === all.length - 1;
      return { id: `${id} ${part.id}`, jobId: id, kind: "part", part, isLive };
    });
}

function stepRows({ id, steps }: Workflow, { stepParts }: Conversation): Row[] {
  return steps.map((step, index): Row => {
    const parts = step.status === "running" ? (stepParts.get(id) ?? NO_PARTS) : NO_PARTS;
    return { id: `${id} step ${index}`, jobId: id, kind: "step", step, index, parts };
  });
}

function requestRows(
  { permissions, questions }: Pick<RowChoices, "permissions" | "questions">,
  isHere: (messageId: string) => boolean,
): Row[] {
  return [
    ...permissions
      .filter(({ messageId }) => isHere(messageId))
      .map((request): Row => ({ id: `${request.id} asked`, jobId: request.messageId, kind: "permission", request })),
    ...questions
      .filter(({ messageId }) => isHere(messageId))
      .map((request): Row => ({ id: `${request.id} asked`, jobId: request.messageId, kind: "question", request })),
  ];
}
