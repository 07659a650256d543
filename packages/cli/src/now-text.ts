/** The texts of what a session does now, for people. Pure. */

import { ageText, limitText } from "@valet/shared/duration-text";
import { costText } from "@valet/shared/protocol/cost";
import type { AttentionItem, NowView, RunNow, StepNow } from "@valet/shared/protocol/now";
import type { WarningView } from "@valet/shared/protocol/warnings";
import { counted } from "./counted.ts";
import { placeText } from "./queue-text.ts";

/** The longest text of a message that a list shows, in UTF-16 code units. */
const MAX_SHOWN = 60;

/** Returns the lines that show what a session does. @param nowMs epoch ms; the view's own time by default */
export function nowLines(now: NowView, nowMs = Date.parse(now.at)): string[] {
  const { verdict, running, queue, queueLength, start, title, capacityPlace } = now;
  const since = (time: string) => ageText(nowMs - Date.parse(time));
  const { state, why, nextStep, command, rule, threshold_ms } = verdict;
  const threshold = threshold_ms === null ? "" : `, from ${limitText(threshold_ms)} on`;
  return [
    [now.sessionId, ...(title === null ? [] : [title])].join("  "),
    `${state} for ${since(verdict.since)} (${now.status}; rule ${rule}${threshold})`,
    why,
    `next: ${nextStep}${command === null ? "" : ` ${command}`}`,
    ...(start === null ? [] : [startLine(start, since)]),
    ...(capacityPlace === null ? [] : [placeText(capacityPlace)]),
    ...holderLines(now.capacityHolders),
    ...running.flatMap((run) => runLines(run, since)),
    ...queue.map(
      (job) => `queued  ${job.kind} ${job.id}  ${since(job.since)}  ${job.reason ?? "just now"}${channelText(job)}`,
    ),
    ...(queueLength > queue.length ? [`and ${queueLength - queue.length} more in the queue`] : []),
    costLine(now),
  ];
}

/** Returns what is amiss although the session goes on, and what to do. */
export function warningText({ type, message }: WarningView): string {
  return `warning: ${type}: ${message}`;
}

/** Names the sessions that hold what this one waits for. */
function holderLines(holders: NowView["capacityHolders"]): string[] {
  if (holders === undefined) return [];
  const { sessions, ownCount, otherCount } = holders;
  const more = ownCount - sessions.length;
  return [
    ...sessions.map(({ sessionId, title }) => `held by  ${[sessionId, ...(title === null ? [] : [title])].join("  ")}`),
    ...(more > 0 ? [`held by  ${counted(more, "more session")} of yours`] : []),
    ...(otherCount > 0 ? [`held by  ${counted(otherCount, "session")} of other owners`] : []),
  ];
}

function costLine({ cost_usd, isCostPartial }: NowView): string {
  const text = costText(cost_usd, isCostPartial);
  return text.startsWith("cost") ? text : `cost ${text}`;
}

type Since = (time: string) => string;

function startLine({ kind, since, stage, doing }: NonNullable<NowView["start"]>, age: Since): string {
  const what = kind === "restore" ? "restore" : "start";
  return [`sandbox ${what}`, age(since), doing ?? `stage ${stage ?? "requested"}`].join("  ");
}

function runLines(run: RunNow, age: Since): string[] {
  const { kind, id, dispatchedAt, isAccepted, isStopping, steps } = run;
  const note = isStopping ? "  being stopped" : isAccepted ? "" : "  not accepted yet";
  return [
    `running  ${kind} ${id}  ${age(dispatchedAt)}${channelText(run)}${note}`,
    ...steps.map((step) => `  ${stepText(step, age)}`),
  ];
}

const channelText = ({ channel }: { readonly channel: string }) => (channel === "main" ? "" : `  channel ${channel}`);

/** What is heard of each kind of step; of the others nothing is. */
const HEARD: { readonly [kind: string]: string | undefined } = { model: "text", tool: "output", command: "output" };

/** Returns a step with its age, its own limit, and what was last heard of it. */
export function stepText({ kind, name, since, heardAt, lastByteAt, timeout_ms }: StepNow, age: Since): string {
  const what = HEARD[kind];
  const heard = heardAt === null ? `no ${what} yet` : `last ${what} ${age(heardAt)} ago`;
  const isAlive = heardAt === null && lastByteAt !== null;
  const notes = [
    ...(timeout_ms === null ? [] : [`limit ${limitText(timeout_ms)}`]),
    ...(what === undefined || kind === "command" ? [] : [heard]),
    ...(isAlive ? [`last byte ${age(lastByteAt)} ago`] : []),
  ];
  const label = name === null ? kind : `${kind} ${name}`;
  return [label, age(since), ...(notes.length === 0 ? [] : [notes.join(", ")])].join("  ");
}

/** Returns the lines of the sessions that need attention. */
export function attentionLines(items: readonly AttentionItem[]): string[] {
  if (items.length === 0) return ["Nothing needs attention."];
  return items.flatMap(({ sessionId, title, repoUrl, verdict }) => {
    const { state, value_ms, why, nextStep, command } = verdict;
    const of = title ?? repoUrl;
    return [
      [sessionId, `${state} for ${ageText(value_ms)}`, ...(of === null ? [] : [of])].join("  "),
      `  ${why}`,
      `  next: ${nextStep}${command === null ? "" : ` ${command}`}`,
    ];
  });
}

/** Returns the queue of a session, with what runs before it. */
export function queueLines(now: NowView): string[] {
  const { running, queue, queueLength } = now;
  if (running.length === 0 && queue.length === 0) return ["The queue is empty, and nothing runs."];
  const age = (time: string) => ageText(Date.parse(now.at) - Date.parse(time));
  return [
    ...running.flatMap((run) => runLines(run, age)),
    ...queue.map(
      (job) => `queued   ${job.kind} ${job.id}  ${age(job.since)}  ${job.reason ?? "just now"}${channelText(job)}`,
    ),
    ...(queueLength > queue.length ? [`and ${counted(queueLength - queue.length, "more job")}`] : []),
  ];
}

/** Returns the first line of a text, cut to what a list shows. */
export function firstLine(text: string, max = MAX_SHOWN): string {
  const [line = ""] = text.trim().split("\n");
  const cut = line.length > max ? `${line.slice(0, max - 1).trimEnd()}…` : line;
  return cut === text.trim() || cut.endsWith("…") ? cut : `${cut} …`;
}
